package policy_test

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/test/stage"
)

// announce removes the addresses from the pod's status, and makes the pod announce the given
// addresses instead.
func (s *fixture) announce(name string, addresses ...string) {
	s.t.Helper()
	s.sandboxed = true
	object := s.pod(name)
	starting("u-" + name)(object)
	pod, _ := policy.ReadPod(object)
	for _, a := range addresses {
		pod.Addresses = append(pod.Addresses, netip.MustParseAddr(a))
	}
	pod.Announced = true
	s.snapshot.UpsertPod(pod)
}

// ranges sets the pod ranges of the node with the name one.
func (s *fixture) ranges(ranges ...string) {
	for _, n := range s.objects.Nodes {
		if n.Name == "one" {
			n = n.DeepCopy()
			n.Spec.PodCIDRs = ranges
			s.set(n)
			return
		}
	}
}

func anAnnouncedAddress(t *testing.T) {
	s := newFixture(t, shop, stage.Policy(t, "shop/web", webDenied))
	s.announce("shop/web", "10.9.0.5", "fd09::5")
	const isolated = `
		10.9.0.5 -> shop/db TCP 5432 | Denied by shop/web | NotIsolated
		fd09::5  -> shop/db TCP 5432 | Denied by shop/web | NotIsolated
	`
	const unknown = `
		10.9.0.5 -> shop/db TCP 5432 | External | NotIsolated
		fd09::5  -> shop/db TCP 5432 | External | NotIsolated
	`
	s.want(unknown) // The node has no pod ranges.
	s.ranges("10.9.0.0/24", "fd09::/64")
	s.want(isolated)
	s.ranges("10.9.0.0/24")
	s.want(`fd09::5 -> shop/db TCP 5432 | External | NotIsolated`)
	s.ranges("10.9.0.0/24", "fd09::/64")
	s.want(isolated)
	// The kubelet confirms the addresses.
	s.edit("shop/web", func(p *corev1.Pod) { p.UID = "u-shop/web"; stage.SetAddresses(p, "10.9.0.5", "fd09::5") })
	s.want(isolated)
	s.announce("shop/web", "10.9.0.5", "fd09::5")
	s.want(isolated)
	s.snapshot.DeletePod("shop", "web")
	s.want(unknown)
	// The Node object is created again.
	s.announce("shop/web", "10.9.0.5", "fd09::5")
	s.want(isolated)
	node := stage.Objects(t, shop).Nodes[0]
	s.remove(node)
	s.want(unknown)
	s.set(node)
	s.ranges("10.9.0.0/24", "fd09::/64")
	s.want(isolated)
}

// anAnnouncementTakesNoAddress tests each case in which an announced address may belong to
// another pod or to a node. In these cases, the announcement must have no effect.
func anAnnouncementTakesNoAddress(t *testing.T) {
	bare := func(s *fixture, change func(*corev1.Pod)) { s.edit("lab/bare", change) }
	web := func(s *fixture) corev1.Pod { p := s.pod("shop/web"); p.UID = "u-shop/web"; return *p }
	for name, tt := range map[string]struct {
		address string
		prepare func(*fixture)
		want    string
	}{
		"status.podIPs of a pod": {"10.9.0.5", func(s *fixture) {
			bare(s, func(p *corev1.Pod) { stage.SetAddresses(p, "10.9.0.5") })
		}, "NotIsolated"},
		"status.podIPs of a pod of another node": {"10.9.0.5", func(s *fixture) {
			bare(s, func(p *corev1.Pod) { p.Spec.NodeName = "two"; stage.SetAddresses(p, "10.9.0.5") })
		}, "NotIsolated"},
		"another pod waits for an address":   {"10.9.0.5", func(s *fixture) { bare(s, starting("b1")) }, "External"},
		"another pod announces the address":  {"10.9.0.5", func(s *fixture) { s.announce("lab/bare", "10.9.0.5") }, "External"},
		"outside of the pod ranges":          {"10.8.0.5", func(*fixture) {}, "External"},
		"the first address of the pod range": {"10.9.0.0", func(*fixture) {}, "External"},
		"the gateway of the pod range":       {"10.9.0.1", func(*fixture) {}, "External"},
		"an address of the node":             {"192.168.0.1", func(s *fixture) { s.ranges("192.168.0.0/24") }, "External"},
		"the sandbox of a pod that is unknown": {"10.9.0.5", func(s *fixture) {
			p := web(s)
			p.Name = "other"
			s.snapshot.SetSandboxes("two", []policy.Sandbox{sandbox(&p, "10.9.0.5")})
		}, "External"},
		"the sandboxes of the node are known": {"10.9.0.5", func(s *fixture) {
			s.sandboxes([]policy.Sandbox{}...)
			s.snapshot.SetSandboxes("one", []policy.Sandbox{})
		}, "External"},
	} {
		for _, first := range []bool{true, false} {
			s := newFixture(t, shop, stage.Policy(t, "shop/web", webDenied))
			s.sandboxed = true
			s.ranges("10.9.0.0/24")
			if first {
				tt.prepare(s)
			}
			s.announce("shop/web", tt.address)
			s.publish()
			if !first {
				tt.prepare(s)
			}
			t.Log(name, first)
			s.want(tt.address + ` -> shop/db TCP 5432 | ` + tt.want + ` | NotIsolated`)
		}
	}
	// While lab/bare has no address, the address that shop/web announces could belong to lab/bare.
	// So the address counts as external. After lab/bare has also announced an address, the address
	// that shop/web announces can only belong to shop/web.
	s := newFixture(t, shop, stage.Policy(t, "shop/web", webDenied))
	s.ranges("10.9.0.0/24")
	s.announce("shop/web", "10.9.0.5")
	s.edit("lab/bare", starting("b1"))
	s.want(`10.9.0.5 -> shop/db TCP 5432 | External | NotIsolated`)
	s.announce("lab/bare", "10.9.0.6")
	s.want(`
		10.9.0.5 -> shop/db TCP 5432 | Denied by shop/web | NotIsolated
		10.9.0.6 -> shop/db TCP 5432 | NotIsolated        | NotIsolated
	`)
	s.snapshot.SetSandboxes("two", nil)
	s.want(`10.9.0.5 -> shop/db TCP 5432 | Denied by shop/web | NotIsolated`)
}
