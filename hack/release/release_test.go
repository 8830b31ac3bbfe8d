package main

import (
	"bytes"
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

// TestUnsignedRelease checks that a missing key is an error, and that a release without a key contains
// no signatures and prints that it is not signed.
func TestUnsignedRelease(t *testing.T) {
	var log bytes.Buffer
	b := build{out: t.TempDir(), version: "0.1.0", log: &log}
	sums := map[string]string{"a": strings.Repeat("0", 64)}
	if err := b.sign(t.Context(), filepath.Join(t.TempDir(), "missing"), sums); err == nil {
		t.Error("no error for a missing key")
	}
	if err := b.sign(t.Context(), "", sums); err != nil || !strings.Contains(log.String(), "NOT SIGNED") {
		t.Errorf("without a key: %v, %s", err, &log)
	}
	if entries, err := os.ReadDir(b.out); err != nil || len(entries) > 0 {
		t.Errorf("files %v, %v", entries, err)
	}
}
