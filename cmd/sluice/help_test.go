package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// TestHelp checks that the help of every command of sluice and of the kubectl
// plugin fits on a screen and contains an example.
func TestHelp(t *testing.T) {
	const lines, columns = 40, 100
	for program, root := range map[string]*cobra.Command{"sluice": rootCommand(), "kubectl-sluice": pluginCommand()} {
		called := strings.ReplaceAll(program, "-", " ") // Users run the plugin as kubectl sluice.
		for _, args := range helps(root) {
			t.Run(strings.Join(append([]string{program}, args...), " "), func(t *testing.T) {
				code, help, stderr := sluiceAs(program, "", args...)
				if code != exitDone || stderr != "" {
					t.Fatalf("exit %d: %s", code, stderr)
				}
				if n := strings.Count(help, "\n"); n > lines {
					t.Errorf("%d lines, want at most %d", n, lines)
				}
				for line := range strings.Lines(help) {
					if n := utf8.RuneCountInString(line) - 1; n > columns {
						t.Errorf("%d columns, want at most %d: %s", n, columns, line)
					}
				}
				_, after, found := strings.Cut(help, "Examples:\n")
				example, _, _ := strings.Cut(after, "\n\n")
				if !found || !strings.Contains(example, called+" ") {
					t.Errorf("no example of %s:\n%s", called, help)
				}
				if !strings.Contains(help, "Usage:\n  "+called) {
					t.Errorf("usage does not begin with %s:\n%s", called, help)
				}
			})
		}
	}
}

// helps returns, for each command, the arguments with which the program prints the command's
// help.
func helps(root *cobra.Command) [][]string {
	args := [][]string{{"--help"}}
	for _, c := range root.Commands() {
		args = append(args, []string{c.Name(), "--help"})
	}
	return args
}
