package podranges_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluicenet/sluice/controllers/podranges"
)

func TestMerge(t *testing.T) {
	for name, c := range map[string]struct {
		in   []string
		want string
	}{
		"none":          {nil, "[]"},
		"halves":        {[]string{"10.244.1.0/24", "10.244.0.0/24", "10.244.2.0/23"}, "[10.244.0.0/22]"},
		"not halves":    {[]string{"10.244.1.0/24", "10.244.2.0/24"}, "[10.244.1.0/24 10.244.2.0/24]"},
		"contained":     {[]string{"10.244.3.0/24", "10.244.0.0/16", "10.244.0.0/16"}, "[10.244.0.0/16]"},
		"both families": {[]string{"fd00::/64", "10.0.0.0/24", "fd00:0:0:1::/64"}, "[10.0.0.0/24 fd00::/63]"},
		"host bits":     {[]string{"10.244.1.1/24"}, "[10.244.1.0/24]"},
		"every address": {[]string{"0.0.0.0/0", "::/0"}, "[]"},
	} {
		var in []netip.Prefix
		for _, p := range c.in {
			in = append(in, netip.MustParsePrefix(p))
		}
		if got := fmt.Sprint(podranges.Merge(in)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestMergeIsBounded merges many scattered ranges. It checks that Merge returns only a few
// wider ranges, and that these ranges contain all given ranges.
func TestMergeIsBounded(t *testing.T) {
	const limit = 64 // 32 of each family
	var all []netip.Prefix
	for i := range 1000 {
		all = append(all, netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", i%256, 2*(i/256))), netip.MustParsePrefix(fmt.Sprintf("fd00:%x::/64", 2*i)))
	}
	got := podranges.Merge(all)
	if len(got) > limit {
		t.Errorf("%d ranges, want at most %d: %v", len(got), limit, got)
	}
	for _, p := range all {
		if !slices.ContainsFunc(got, func(r netip.Prefix) bool { return r.Contains(p.Addr()) }) {
			t.Errorf("no range contains %s", p)
		}
	}
}

func TestFormatIsReadByParse(t *testing.T) {
	want := []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10:244::/56")}
	got := podranges.Parse(strings.Fields(podranges.Format(want) + "invalid\n"))
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("-formatted +parsed:\n%s", diff)
	}
}
