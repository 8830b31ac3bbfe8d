package policy_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// lifecycleModel is a simple but slow model of a node's pods and their sandboxes.
type lifecycleModel struct {
	// The `pods` field contains the Pod objects by name. The `gone` field contains the last states
	// of deleted objects.
	pods map[string]policy.Pod
	gone []policy.Pod
	// sandboxes is nil if the sandboxes are not known. In this case, the field `routed` determines
	// which pods are live.
	sandboxes []policy.Sandbox
	routed    []netip.Addr
}

func (m *lifecycleModel) sandboxAddresses(p policy.Pod) (out []netip.Addr) {
	if p.HostNetwork || p.Node != "one" {
		return nil
	}
	for _, a := range p.Addresses {
		if m.sandboxes == nil && slices.Contains(m.routed, a) {
			out = append(out, a)
		}
	}
	for _, b := range m.sandboxes {
		if b.Namespace == p.Namespace && b.Name == p.Name && b.UID == p.UID {
			out = append(out, b.Addresses...)
		}
	}
	return out
}

func (m *lifecycleModel) upsert(p policy.Pod) {
	if old, ok := m.pods[p.Name]; ok && old.UID != p.UID {
		m.remove(p.Name)
	}
	m.gone = slices.DeleteFunc(m.gone, func(g policy.Pod) bool { return g.UID == p.UID && g.Name == p.Name })
	m.pods[p.Name] = p
}

func (m *lifecycleModel) remove(name string) {
	if old, ok := m.pods[name]; ok && m.sandboxAddresses(old) != nil {
		m.gone = append(m.gone, old)
	}
	delete(m.pods, name)
}

func (m *lifecycleModel) set(sandboxes []policy.Sandbox, routed []netip.Addr) {
	m.sandboxes, m.routed = sandboxes, routed
	m.gone = slices.DeleteFunc(m.gone, func(p policy.Pod) bool { return m.sandboxAddresses(p) == nil })
}

// owner returns the UID and the labels of the pod that owns the address.
func (m *lifecycleModel) owner(a netip.Addr) string {
	type claim struct {
		policy.Pod
		rank int
	}
	var claims []claim
	add := func(p policy.Pod, gone bool) {
		inSandbox := slices.Contains(m.sandboxAddresses(p), a)
		switch ends := gone || p.Finished; {
		case ends && inSandbox:
			claims = append(claims, claim{p, 0})
		case ends || p.HostNetwork:
		case inSandbox:
			claims = append(claims, claim{p, 2})
		case slices.Contains(p.Addresses, a):
			claims = append(claims, claim{p, 1})
		}
	}
	for _, p := range m.pods {
		add(p, false)
	}
	for _, p := range m.gone {
		add(p, true)
	}
	if len(claims) == 0 {
		return ""
	}
	best := slices.MaxFunc(claims, func(p, q claim) int {
		running := func(c claim) int { return map[bool]int{true: 1}[c.Running] }
		return cmp.Or(cmp.Compare(p.rank, q.rank), cmp.Compare(running(p), running(q)), p.Created.Compare(q.Created), cmp.Compare(p.Name, q.Name), cmp.Compare(p.UID, q.UID))
	})
	return best.UID + " " + best.Labels.String()
}

// TestSandboxesAgreeWithAModel makes random changes to Pod objects, sandboxes and routes, and
// compares the owner of each address with the model. When all objects and sandboxes have been
// removed, the snapshot and the tree must be empty.
func TestSandboxesAgreeWithAModel(t *testing.T) {
	addresses := []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("fd00::2")}
	names := []string{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		m := &lifecycleModel{pods: map[string]policy.Pod{}}
		s := policy.NewSnapshot()
		nodes := []*follower{follow(s, "one"), follow(s, "two")}
		subset := rapid.SliceOfNDistinct(rapid.SampledFrom(addresses), 0, 2, rapid.ID[netip.Addr])
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0, 1:
				generation := rapid.IntRange(0, 1).Draw(t, "generation")
				phase := rapid.IntRange(0, 2).Draw(t, "phase")
				p := policy.Pod{
					// The pods are created at different times, so that one claim always takes
					// precedence.
					Namespace: "x", Name: name, UID: fmt.Sprintf("%s%d", name, generation), Created: time.Unix(int64(generation*10+int(name[0])), 0),
					Labels:    label.Of(map[string]string{"app": rapid.SampledFrom(names).Draw(t, "app")}),
					Node:      rapid.SampledFrom([]string{"one", "one", "one", "two", ""}).Draw(t, "node"),
					Addresses: subset.Draw(t, "podIPs"), Running: phase == 1, Finished: phase == 2,
					HostNetwork: rapid.IntRange(0, 9).Draw(t, "host") == 0,
				}
				m.upsert(p)
				s.UpsertPod(&p)
			case 2:
				m.remove(name)
				s.DeletePod("x", name)
			case 3:
				m.set(nil, m.routed)
				s.SetSandboxes("one", nil)
			case 4:
				m.set(m.sandboxes, subset.Draw(t, "routed"))
				s.SetRouted("one", m.routed)
			default:
				list := []policy.Sandbox{}
				for range rapid.IntRange(0, 4).Draw(t, "sandboxes") {
					of := rapid.SampledFrom(names).Draw(t, "of")
					list = append(list, policy.Sandbox{
						Namespace: "x", Name: of, UID: fmt.Sprintf("%s%d", of, rapid.IntRange(0, 1).Draw(t, "uid")),
						Interface: "eth0", Addresses: subset.Draw(t, "addresses"),
					})
				}
				m.set(list, m.routed)
				s.SetSandboxes("one", list)
			}
			for _, a := range addresses {
				got := ""
				if p, ok := s.Owner(a); ok {
					got = p.UID + " " + p.Labels.String()
				}
				if want := m.owner(a); got != want {
					t.Fatalf("%s belongs to %q, want %q\npods %+v\ngone %+v\nsandboxes %+v\nrouted %v", a, got, want, m.pods, m.gone, m.sandboxes, m.routed)
				}
			}
			if s.LingeringPods() != len(m.gone) {
				t.Fatalf("%d lingering pods, want %d", s.LingeringPods(), len(m.gone))
			}
			for _, n := range nodes {
				if err := n.take(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, name := range names {
			s.DeletePod("x", name)
		}
		s.SetSandboxes("one", nil)
		s.SetRouted("one", nil)
		for a := range s.OwnedAddresses() {
			t.Errorf("%s still belongs to a pod", a)
		}
		if n := len(s.TrackedNamespaces()); n != 0 || s.LingeringPods() != 0 {
			t.Errorf("%d namespaces and %d lingering pods are left", n, s.LingeringPods())
		}
		for _, n := range nodes {
			if err := n.take(); err != nil || len(n.addresses) > 0 || len(n.pods) > 0 {
				t.Errorf("%d addresses and %d pods are left in the tree, error %v", len(n.addresses), len(n.pods), err)
			}
		}
	})
}
