package lab

import (
	"fmt"
	"net/netip"
	"testing"
)

// A node reuses the addresses of deleted pods. Therefore, the node can create any number of pods,
// as long as only a few of them run at the same time.
func TestAllocateContinuesAtTheFirstAddress(t *testing.T) {
	c := netip.MustParsePrefix("10.0.0.0/29")
	n := &Node{cidrs: []netip.Prefix{c}, next: []netip.Addr{first(c)}}
	n.pods = []*Pod{{Host: &Host{addresses: []netip.Addr{netip.MustParseAddr("10.0.0.3")}}}}
	var got []string
	for range 7 {
		addresses, err := n.allocate()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, addresses[0].String()[len("10.0.0."):])
	}
	if want := "[2 4 5 6 7 2 4]"; want != fmt.Sprint(got) {
		t.Errorf("assigned %v, want %s", got, want)
	}
	for a := first(c); c.Contains(a); a = a.Next() {
		n.pods = append(n.pods, &Pod{Host: &Host{addresses: []netip.Addr{a}}})
	}
	if got, err := n.allocate(); err == nil {
		t.Errorf("assigned %v, want no address left", got)
	}
}
