package main

import (
	"slices"
	"testing"
)

// TestWithBenchmarks checks that only packages with benchmarks are run.
func TestWithBenchmarks(t *testing.T) {
	got, err := withBenchmarks([]string{"../../dataplane/packet", "../../dataplane/rule"})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"github.com/sluicenet/sluice/dataplane/packet"}; !slices.Equal(got, want) {
		t.Errorf("packages %q, want %q", got, want)
	}
}
