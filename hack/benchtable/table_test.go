package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	const output = `goos: linux
pkg: example/tree
cpu: Example CPU
BenchmarkLookup/pods=1000/policies=100-2   8301447   143.2 ns/op   97000 reference-ns/op   0 B/op   0 allocs/op
BenchmarkLookup/pods=1000/policies=100-2   8301447   163.2 ns/op   99000 reference-ns/op   0 B/op   0 allocs/op
PASS
pkg: example/nothing
PASS
pkg: example/policy
BenchmarkCompile-2   3   412345678 ns/op   12.50 peak-MiB   1234567 file-bytes   1.1834 x-before   64000 B/op   2 allocs/op
BenchmarkBroken-2	--- FAIL: nothing measured
PASS
`
	const want = `

example/tree
benchmark                      time/op  memory/op  allocs/op  reference-time/op
Lookup/pods=1000/policies=100   153 ns        0 B          0              98 µs

example/policy
benchmark  time/op  memory/op  allocs/op  peak-MiB     file  x-before
Compile     412 ms      64 kB          2      12.5  1.23 MB      1.18
`
	got := parse(output)
	if got.cpu != "Example CPU" {
		t.Errorf("cpu = %q", got.cpu)
	}
	var text strings.Builder
	if err := got.print(&text); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, "\n"+text.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
