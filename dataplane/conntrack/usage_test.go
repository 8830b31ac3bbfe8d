package conntrack_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/dataplane/conntrack"
)

// The usage counts the entries of one network namespace. The maximum is the same in every network
// namespace.
func TestUsage(t *testing.T) {
	const n = 700
	s := newFixture(t)
	var usage *conntrack.Usage
	if err := s.node.Do(func() (err error) { usage, err = conntrack.OpenUsage(); return err }); err != nil {
		t.Fatal(err)
	}
	defer usage.Close()
	content, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_max")
	if err != nil {
		t.Fatal(err)
	}
	want, err := strconv.ParseUint(strings.TrimSpace(string(content)), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	before, maximum, err := usage.Read()
	if err != nil || uint64(maximum) != want {
		t.Errorf("maximum %d, %v; want %d", maximum, err, want)
	}
	s.createMany(n)
	if after, _, err := usage.Read(); err != nil || after < before+n {
		t.Errorf("%d entries, %v; want at least %d more than %d", after, err, n, before)
	}
	if err := usage.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := usage.Read(); err == nil {
		t.Error("Read succeeded after Close")
	}
}
