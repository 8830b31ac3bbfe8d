package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRejectedArguments checks that a release with wrong arguments fails before it builds anything.
func TestRejectedArguments(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	for want, args := range map[string][]string{
		"differs from the file VERSION": {"build", "-version", "99.0.0", "-out", out},
		"-out is missing":               {"build", "-version", "99.0.0"},
		"the command is missing":        nil,
		"unknown command publish":       {"publish"},
		"want one argument":             {"verify"},
	} {
		if err := run(t.Context(), args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: the error is %v, want %q", args, err, want)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a directory was created")
	}
}
