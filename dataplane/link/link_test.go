package link_test

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/internal/trigger"
	"github.com/sluicenet/sluice/test/lab"
)

// node is a network namespace that represents a node. The finder finds interfaces in this
// namespace.
type node struct {
	*lab.Node
	// pods contains the pods that the `pod` method has added.
	pods   []*lab.Pod
	t      *testing.T
	finder *link.Finder
}

func newNode(t *testing.T) *node {
	t.Helper()
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	n := &node{t: t}
	if n.Node, err = l.AddNode("one"); err != nil {
		t.Fatal(err)
	}
	if err := n.Do(func() (err error) {
		n.finder, err = link.Open()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.finder.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *node) pod(name string) *lab.Pod {
	n.t.Helper()
	p, err := n.AddPod(name)
	if err != nil {
		n.t.Fatal(err)
	}
	n.pods = append(n.pods, p)
	return p
}

// change looks up the interface with the given name on the node, and calls `how` with the link of
// this interface.
func (n *node) change(name string, how func(netlink.Link) error) {
	n.t.Helper()
	if err := n.Do(func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return how(l)
	}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) number(name string) (number uint32) {
	n.t.Helper()
	n.change(name, func(l netlink.Link) error { number = uint32(l.Attrs().Index); return nil })
	return number
}

// want calls Find for pods with the given addresses, and compares the result with the wanted
// links. The addresses in `isolated` belong to egress-isolated pods. The addresses in `open`
// belong to pods that may use their link-local addresses freely.
func (n *node) want(when string, isolated, open []netip.Addr, want ruleset.Links) {
	n.t.Helper()
	got, err := n.finder.Find(link.Pods{All: slices.Concat(isolated, open), Isolated: ruleset.Addresses{Egress: isolated}, Open: open})
	if err != nil {
		n.t.Fatal(err)
	}
	if pods := slices.Compact(slices.Sorted(maps.Values(got.Direct))); !slices.Equal(got.Pods, pods) {
		n.t.Errorf("%s: the interfaces of pods are %v, want %v", when, got.Pods, pods)
	}
	got.Interfaces, got.Routed, got.Direct, got.Pods = nil, nil, nil, nil
	if diff := cmp.Diff(link.Links{Links: want}, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		n.t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

func TestFind(t *testing.T) {
	n := newNode(t)
	a, b := n.pod("a"), n.pod("b")
	linkA, linkB := n.number(a.Interface), n.number(b.Interface)
	v4, v6 := a.Addresses()[:1], a.Addresses()[1:]
	all := []netip.Addr{v4[0], b.Addresses()[0], v6[0], b.Addresses()[1]}
	n.want("no pod", nil, nil, ruleset.Links{})
	n.want("no pod is isolated", nil, a.Addresses(), ruleset.Links{Linked: a.Addresses()})
	n.want("one isolated", a.Addresses(), b.Addresses(), ruleset.Links{Linked: all, Egress: []uint32{linkA}, Closed: []uint32{linkA}})
	n.want("by IPv4 alone", v4, nil, ruleset.Links{Linked: v4, Egress: []uint32{linkA}, Closed: []uint32{linkA}})
	n.want("by IPv6 alone", v6, nil, ruleset.Links{Linked: v6, Egress: []uint32{linkA}, Closed: []uint32{linkA}})
	n.want("isolated and open", a.Addresses(), a.Addresses(), ruleset.Links{Linked: a.Addresses(), Egress: []uint32{linkA}})
	n.want("both isolated", append(b.Addresses(), a.Addresses()...), nil, ruleset.Links{Linked: all, Egress: []uint32{linkA, linkB}, Closed: []uint32{linkA, linkB}})
	n.want("the node's own address", n.Addresses(), nil, ruleset.Links{})

	// No pod has these addresses. Only the default route matches them.
	missing := []netip.Addr{netip.MustParseAddr("10.244.1.200"), netip.MustParseAddr("fd00:10:244:1::200")}
	n.want("a pod without a separate route", missing, nil, ruleset.Links{})

	// A CNI plugin may add a route with a gateway to the link of a pod. Packets from other
	// machines can then arrive on this link.
	gatewayed := n.pod("c")
	n.change(gatewayed.Interface, func(l netlink.Link) error {
		_, dst, err := net.ParseCIDR("10.244.1.128/25")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Gw: net.IPv4(169, 254, 9, 9), Flags: unix.RTNH_F_ONLINK})
	})
	n.want("a gateway on the link", gatewayed.Addresses(), nil, ruleset.Links{})

	// An interface with a default route does not lead to pods, even if another route leads
	// directly through the interface to the pods' network.
	n.change("eth0", func(l netlink.Link) error {
		for _, text := range []string{"10.244.1.0/24", "fd00:10:244:1::/64"} {
			dst, err := netlink.ParseIPNet(text)
			if err != nil {
				return err
			}
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK}); err != nil {
				return err
			}
		}
		return nil
	})
	n.want("a route to the uplink", missing, nil, ruleset.Links{})
}

// Next reports the change when a route is added, and when an interface goes down and loses its
// routes.
func TestNext(t *testing.T) {
	n := newNode(t)
	events, ended := trigger.New(), make(chan error, 1)
	go func() {
		for {
			changed, err := n.finder.Next()
			if !changed {
				ended <- err
				return
			}
			events.Set()
		}
	}()
	pod := n.pod("a")
	soon := func(what string, want ruleset.Links) {
		t.Helper()
		for deadline := time.After(10 * time.Second); ; {
			got, err := n.finder.Find(link.Pods{All: pod.Addresses(), Isolated: ruleset.Addresses{Egress: pod.Addresses()}})
			if err != nil {
				t.Fatal(err)
			}
			if cmp.Equal(got.Egress, want.Egress) || len(got.Egress)+len(want.Egress) == 0 {
				return
			}
			select {
			case <-events.C():
			case <-deadline:
				t.Fatalf("%s: no more events, and the links are %v, want %v", what, got, want)
			}
		}
	}
	number := n.number(pod.Interface)
	soon("a pod is added", ruleset.Links{Egress: []uint32{number}})
	n.change(pod.Interface, netlink.LinkSetDown)
	soon("its link goes down", ruleset.Links{})
	if err := n.finder.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := n.finder.Find(link.Pods{All: pod.Addresses()}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Find after Close: %v, want os.ErrClosed", err)
	}
}
