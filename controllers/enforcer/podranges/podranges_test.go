package podranges_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/controllers/enforcer/podranges"
)

func nodes(podCIDRs ...string) (out []corev1.Node) {
	for _, list := range podCIDRs {
		out = append(out, corev1.Node{Spec: corev1.NodeSpec{PodCIDRs: strings.Fields(list)}})
	}
	return out
}

func TestOf(t *testing.T) {
	for name, test := range map[string]struct {
		list  []string
		nodes []corev1.Node
		want  []string
	}{
		"nothing":             {nil, nodes("", ""), nil},
		"adjacent nodes":      {nil, nodes("10.244.1.0/24 fd00:1::/64", "10.244.0.0/24 fd00:1:0:1::/64"), []string{"10.244.0.0/23", "fd00:1::/63"}},
		"a gap":               {nil, nodes("10.244.0.0/24", "10.244.2.0/24"), []string{"10.244.0.0/24", "10.244.2.0/24"}},
		"a range of the spec": {[]string{"10.244.0.0/16", "fd00:2::1/64"}, nodes("10.244.3.0/24", "10.245.0.0/24"), []string{"10.244.0.0/16", "10.245.0.0/24", "fd00:2::/64"}},
	} {
		got, err := podranges.Of(test.list, test.nodes)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOfReportsInvalidRanges(t *testing.T) {
	got, err := podranges.Of([]string{"10.0.0.0/8", "10.0.0.0", "::/129"}, nil)
	if want := []string{"10.0.0.0/8"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	want := `spec.podRanges[1]: "10.0.0.0" is not a CIDR: write it as in "10.244.0.0/16"
spec.podRanges[2]: "::/129" is not a CIDR: write it as in "10.244.0.0/16"`
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// Many scattered ranges are widened until few remain, and the result contains all of them.
func TestOfIsBounded(t *testing.T) {
	var all []string
	for i := range 1000 {
		all = append(all, fmt.Sprintf("10.%d.%d.0/24", i%256, 2*(i/256)), fmt.Sprintf("fd00:%x::/64", 2*i))
	}
	got, err := podranges.Of(nil, nodes(all...))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) > 2*podranges.Max {
		t.Errorf("%d ranges, want at most %d: %v", len(got), 2*podranges.Max, got)
	}
	for _, text := range all {
		p := netip.MustParsePrefix(text)
		if !slices.ContainsFunc(got, func(r string) bool { return netip.MustParsePrefix(r).Contains(p.Addr()) }) {
			t.Errorf("no range contains %s", p)
		}
	}
}
