package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/test/golden"
)

// TestDiffGolden compares the output of diff with testdata/diff.golden. The flag -update rewrites the
// file.
func TestDiffGolden(t *testing.T) {
	base := []string{"diff", "--base", "testdata/cluster.yaml"}
	run := func(args ...string) string { return transcript(append(base, args...)...) }
	golden.Compare(t, filepath.Join("testdata", "diff.golden"), strings.Join([]string{
		run("-f", "testdata/test-network-policy.yaml"),
		run("--base", "testdata/test-network-policy.yaml", "--delete", "default/test-network-policy", "--exit-code"),
		run("--base", "testdata/test-network-policy.yaml", "-f", "testdata/test-network-policy.yaml", "--exit-code"),
		run("-f", "testdata/default-deny-egress.yaml", "-o", "json"),
		run("--delete", "default/none"),
		run(),
		run("--context", "x", "--delete", "default/none"),
		transcript("diff", "--delete", "x/y"),
	}, "\n"))
}
