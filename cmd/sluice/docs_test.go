package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// If a block of shell commands in the documentation starts with one of these comments, TestDocs
// does not run it, because the commands cannot run in a plain checkout. The test in test/release
// runs the blocks that start with one of the last two comments.
var elsewhere = []string{
	"# on a cluster", "# on a node, as root", "# with docker, podman or buildah", "# on macOS or Linux",
	"# in the directory of the artefacts, with Krew",
	"# in a clean clone", "# in the directory of the artefacts",
}

var (
	shellBlock = regexp.MustCompile("(?s)\n```sh\n(.*?\n)```\n")
	anyBlock   = regexp.MustCompile("(?s)\n```.*?\n```\n")
	inlineCode = regexp.MustCompile("`([^`\n]+)`")
)

// TestDocs runs each block of shell commands in the documentation, in the root directory of the
// project. It skips blocks that start with a comment in `elsewhere`. TestDocs also checks that each
// sluice command and flag in the documentation exists.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	references, err := filepath.Glob("../../docs/reference/*.md")
	if err != nil || len(references) == 0 {
		t.Fatal(references, err)
	}
	for _, page := range append(append(pages, references...), "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(page), func(t *testing.T) {
			for _, block := range shellBlock.FindAllSubmatch(text, -1) {
				checkBlock(t, string(block[1]))
			}
			for _, code := range inlineCode.FindAllSubmatch(anyBlock.ReplaceAll(text, nil), -1) {
				checkCalls(t, strings.ReplaceAll(string(code[1]), `\|`, "|"))
			}
		})
	}
}

func checkBlock(t *testing.T, block string) {
	t.Helper()
	checkCalls(t, block)
	for _, mark := range elsewhere {
		if strings.HasPrefix(block, mark+"\n") {
			return
		}
	}
	// The shell function `sluice` runs this test binary as the program sluice. It ignores exit code
	// 1 of `sluice lint`, because the command reports findings in some examples in the
	// documentation.
	sluice := "sluice() { " + asProgram + "=1 " + executable(t) + ` "$@" || [ "$1-$?" = lint-1 ]; }` + "\n"
	shell := exec.Command("bash", "-euo", "pipefail", "-c", sluice+block)
	shell.Dir = "../.."
	var output bytes.Buffer
	shell.Stdout, shell.Stderr = &output, &output
	if err := shell.Run(); err != nil {
		t.Errorf("%s%v\n%s", block, err, &output)
	}
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// callOf matches an invocation of the program sluice in shell commands, with its arguments.
var callOf = regexp.MustCompile(`(?m)(?:^\s*(?:\$ )?|[|&;] *)((?:kubectl |bin/)?sluice) ([a-z][^|&;>\n]*)`)

// checkCalls finds every invocation of sluice in a text, and checks that its commands and flags
// exist.
func checkCalls(t *testing.T, text string) {
	t.Helper()
	for _, call := range callOf.FindAllStringSubmatch(text, -1) {
		root := rootCommand()
		if call[1] == "kubectl sluice" {
			root = pluginCommand()
		}
		if err := parses(root, words(call[2])); err != nil {
			t.Errorf("%s: %v", call[0], err)
		}
	}
}

// parses returns an error if args contains a command or flag that the program does not have.
func parses(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if cmd == root {
		return unknownCommand(root, args)
	}
	return cmd.ParseFlags(rest)
}

// words splits a command line into words. It supports only the shell syntax in the
// documentation. It removes ellipses, which stand for omitted arguments, and the brackets
// around optional arguments.
func words(text string) []string {
	var words []string
	for i, part := range strings.Split(text, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		for word := range strings.FieldsSeq(part) {
			if word = strings.Trim(word, "[].…"); word != "" {
				words = append(words, word)
			}
		}
	}
	return words
}
