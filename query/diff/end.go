package diff

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/query/internal/family"
)

// group contains pods of one workload that the policies treat in the same way.
type group struct {
	groupKey
	pods []*inventory.Pod
}

// groupKey contains everything on which the effects on the flows of a pod depend.
type groupKey struct {
	workload string
	// subjects contains the numbers of the subjects, by direction. affected reports whether the
	// verdicts of the pod's policies can change in a direction.
	subjects [2]int
	affected [2]bool
	// peers contains the numbers of the peers plus 1, by family. A number is 0 if the pod has no
	// address of the family.
	peers [family.Count]int
}

// address returns the address of a pod of the group in a family. If there is a second pod, and
// `second` is true, it returns the address of the second pod.
func (g *group) address(f family.Family, second bool) netip.Addr {
	p := g.pods[0]
	if second && len(g.pods) > 1 {
		p = g.pods[1]
	}
	return f.First(p.Addresses)
}

// groupPods sets c.groups. It contains the pods that exist both before and after the change. If a pod
// shares an address with another pod or with a node, flows of this address are not compared.
func (c *comparison) groupPods(pods []inventory.Pod) {
	boundaries := c.boundaries()
	at := map[groupKey]int{}
	for i := range pods {
		p := pods[i]
		if p.Addresses = c.ownAddresses(&p); len(p.Addresses) == 0 {
			continue
		}
		key := c.groupKey(&p, boundaries)
		n, ok := at[key]
		if !ok {
			n = len(c.groups)
			at[key] = n
			c.groups = append(c.groups, &group{groupKey: key})
		}
		c.groups[n].pods = append(c.groups[n].pods, &p)
	}
	slices.SortStableFunc(c.groups, func(a, b *group) int { return strings.Compare(a.workload, b.workload) })
}

// ownAddresses returns the addresses that only this pod has, both before and after the change.
func (c *comparison) ownAddresses(p *inventory.Pod) (out []netip.Addr) {
	name := p.String()
	owns := func(s *state, a netip.Addr) bool {
		owner := s.snapshot.TrackedOwner(a)
		return owner != nil && owner.Pod.String() == name
	}
	for _, a := range p.Addresses {
		if !c.nodes[a] && owns(c.before, a) && owns(c.after, a) {
			out = append(out, a)
		}
	}
	return out
}

func (c *comparison) groupKey(p *inventory.Pod, boundaries []netip.Addr) groupKey {
	name := p.String()
	key := groupKey{workload: fmt.Sprintf("%s/%s/%s", p.Pod.Namespace, p.Workload, p.Controller)}
	for _, d := range []rule.Direction{rule.Egress, rule.Ingress} {
		a := p.Addresses[0]
		key.subjects[d] = c.subjects.number(subject{d, c.before.programsOf(a, d), c.after.programsOf(a, d)})
		key.affected[d] = c.everything || c.before.selects(name, d, c.changedBefore) || c.after.selects(name, d, c.changedAfter)
	}
	for _, f := range family.All {
		if a := f.First(p.Addresses); a.IsValid() {
			segment, _ := slices.BinarySearchFunc(boundaries, a.Next(), netip.Addr.Compare)
			key.peers[f] = 1 + c.peers.number(peer{c.before.owners[a].Class, c.after.owners[a].Class, segment})
		}
	}
	return key
}

// boundaries returns the addresses at which a block of any rule begins or at which the addresses
// behind a block begin, in ascending order.
func (c *comparison) boundaries() []netip.Addr {
	var out []netip.Addr
	for _, s := range []*state{c.before, c.after} {
		for _, p := range s.programs {
			eachMatch(p, func(m *rule.Match) { out = appendBoundaries(out, m.Blocks) })
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// changedPolicies returns the policies of s that do not exist or differ in the other state, sorted by
// name.
func changedPolicies(s, other *state) (out []*policy.Policy) {
	for name, p := range s.policies {
		if q := other.policies[name]; q == nil || !p.Equal(q) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *policy.Policy) int { return strings.Compare(a.String(), b.String()) })
	return out
}
