package podranges

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/dataplane/statedir"
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
		if got := fmt.Sprint(merge(in)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestMergeIsBounded checks that merge widens many scattered ranges until few remain, and that
// the result contains all given ranges.
func TestMergeIsBounded(t *testing.T) {
	var all []netip.Prefix
	for i := range 1000 {
		all = append(all, netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", i%256, 2*(i/256))), netip.MustParsePrefix(fmt.Sprintf("fd00:%x::/64", 2*i)))
	}
	got := merge(all)
	if len(got) > 2*maxRanges {
		t.Errorf("%d ranges, want at most %d: %v", len(got), 2*maxRanges, got)
	}
	for _, p := range all {
		if !slices.ContainsFunc(got, func(r netip.Prefix) bool { return r.Contains(p.Addr()) }) {
			t.Errorf("no range contains %s", p)
		}
	}
}

func TestRangesArePublished(t *testing.T) {
	node := func(name string, ranges ...string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: ranges}}
	}
	dir := t.TempDir()
	c := fake.NewFakeClient(node("one", "10.244.0.0/24", "fd00::/64"), node("two", "10.244.1.0/24"))
	p := &publisher{c, "one", dir, []netip.Prefix{netip.MustParsePrefix("172.20.0.0/14")}}
	if _, err := p.Reconcile(t.Context(), reconcile.Request{}); err != nil {
		t.Fatal(err)
	}
	got, err := statedir.ReadPodRanges(dir)
	if want := "{[10.244.0.0/23 172.20.0.0/14 fd00::/64] [10.244.0.0/24 fd00::/64]}"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
}
