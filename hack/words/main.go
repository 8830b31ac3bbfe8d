// Command words finds words that the project avoids in everything that people read:
// Go comments, messages and names, Markdown, YAML, shell scripts, golden files and
// the Makefile. words.yaml lists the words and what to write instead.
// docs/glossary.md explains the reasons.
//
//	words           print the number of findings for each folder
//	words PATH...   print the findings in these files and folders
//
// The command must run in the top folder of the project. It exits with status 1 if
// there are findings, and with status 2 if it cannot check.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
)

// errFound means that the check has found words to avoid.
var errFound = errors.New("words to avoid found: see docs/glossary.md, and hack/words/words.yaml for exceptions")

func main() {
	err := run(os.DirFS("."), os.Args[1:], os.Stdout)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "words:", err)
	if errors.Is(err, errFound) {
		os.Exit(1)
	}
	os.Exit(2)
}

func run(project fs.FS, paths []string, output io.Writer) error {
	list, err := readList(project, "hack/words/words.yaml")
	if err != nil {
		return err
	}
	counts := len(paths) == 0
	if counts {
		paths = []string{"."}
	}
	found, err := list.check(project, paths)
	if err != nil {
		return err
	}
	if counts {
		printCounts(output, found)
	} else {
		printFindings(output, found)
	}
	if len(found) > 0 {
		return errFound
	}
	return nil
}

func printFindings(output io.Writer, found []finding) {
	for _, f := range found {
		fmt.Fprintf(output, "%s:%d: %q: write %s\n", f.file, f.line, f.match, f.instead)
	}
}

// printCounts prints the number of findings in each folder. The folder with the
// most findings comes first.
func printCounts(output io.Writer, found []finding) {
	counts := make(map[string]int)
	for _, f := range found {
		counts[path.Dir(f.file)]++
	}
	folders := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		if a < b {
			return -1
		}
		return 1
	})
	for _, folder := range folders {
		fmt.Fprintf(output, "%5d  %s\n", counts[folder], folder)
	}
	fmt.Fprintf(output, "%5d  in all; print them with: go run ./hack/words PATH\n", len(found))
}
