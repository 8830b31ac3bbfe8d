package main

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompare(t *testing.T) {
	r := parse(`pkg: example/tree
BenchmarkEvaluate/pods=1000-2   8301447   100 ns/op   0 allocs/op
BenchmarkEvaluate/pods=100000-2   8301447   300 ns/op   1 allocs/op
BenchmarkThroughput/sluice-2   1   0 ns/op   0.98 x-no-table
`)
	limits, err := readLimits([]byte(`
- {what: evaluate, benchmark: Evaluate/pods=100000, unit: ns/op, max: 200ns, seen: 95ns, evidence: today}
- {what: by size, benchmark: Evaluate/pods=100000, relativeTo: Evaluate/pods=1000, unit: ns/op, max: "3", seen: "1", evidence: today}
- {what: throughput, benchmark: Throughput/sluice, unit: x-no-table, min: "0.97", seen: "0.966", evidence: missed}
- {what: not measured, benchmark: Decode, unit: ns/op, max: 1ns, seen: 1ns, evidence: never}
`))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := compare(&out, limits, &r); !errors.Is(err, errOverLimit) {
		t.Errorf("error %v, want %v", err, errOverLimit)
	}
	const want = `
limit             result  limit           recorded  evidence
evaluate    OVER  300 ns  at most 200 ns  95 ns     today
by size     ok    3.00    at most 3.00    1.00      today
throughput  ok    0.98    at least 0.97   0.97      missed
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}

func TestLimitsAreReadStrictly(t *testing.T) {
	for _, text := range []string{
		`- {benchmark: A, unit: ns/op, seen: 1ns}`,
		`- {benchmark: A, unit: ns/op, max: 1ns, min: 1ns, seen: 1ns}`,
		`- {benchmark: A, unit: ns/op, max: "1", seen: 1ns}`,
		`- {benchmark: A, unit: ns/op, maximum: 1ns, seen: 1ns}`,
	} {
		if _, err := readLimits([]byte(text)); err == nil {
			t.Errorf("no error for %s", text)
		}
	}
}

// TestLimitsNameBenchmarks checks that each limit in limits.yaml names an existing benchmark.
func TestLimitsNameBenchmarks(t *testing.T) {
	limits, err := readLimits(limitsFile)
	if err != nil {
		t.Fatal(err)
	}
	source, err := exec.Command("grep", "-rh", "--include=*_test.go", "^func Benchmark", "../..").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range limits {
		for _, row := range []string{l.Benchmark, l.RelativeTo} {
			name, _, _ := strings.Cut(row, "/")
			if row != "" && !bytes.Contains(source, []byte("func Benchmark"+name+"(")) {
				t.Errorf("there is no Benchmark%s", name)
			}
		}
	}
}
