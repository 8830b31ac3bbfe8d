package diff

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/query/internal/family"
)

// comparison compares two states. It evaluates each function only once, and stores equal results
// only once.
type comparison struct {
	before, after               *state
	changedBefore, changedAfter []*policy.Policy
	// everything is true if objects other than policies differ, so that the verdicts of all policies
	// can change.
	everything bool
	// nodes contains the addresses of all nodes.
	nodes  map[netip.Addr]bool
	groups []*group

	subjects  numbers[subject]
	peers     numbers[peer]
	functions map[functionKey]*function
	ports     map[int]*[len(protocols)][]uint32
	outsideOf map[outsideKey]*outside

	causeOf  map[causeKey]*Cause
	causes   map[string]*Cause
	interned map[string]*effect
	// lists contains all different lists of effects. List 0 is empty.
	lists     [][]*effect
	listAt    map[string]int
	effectsOf map[[2]*function]int
}

// notApplicable is stored instead of the number of a list if there is no flow to evaluate.
const notApplicable = -1

// newComparison compiles two sets. The caller must call close.
func newComparison(before, after *inventory.Set) (*comparison, error) {
	c := &comparison{
		nodes: map[netip.Addr]bool{}, functions: map[functionKey]*function{}, ports: map[int]*[len(protocols)][]uint32{},
		outsideOf: map[outsideKey]*outside{}, causeOf: map[causeKey]*Cause{}, causes: map[string]*Cause{}, interned: map[string]*effect{},
		lists: [][]*effect{nil}, listAt: map[string]int{"": 0}, effectsOf: map[[2]*function]int{},
	}
	var err error
	if c.before, err = newState(before); err != nil {
		return nil, err
	}
	if c.after, err = newState(after); err != nil {
		return nil, errors.Join(err, c.before.close())
	}
	for _, s := range []*inventory.Set{before, after} {
		for i := range s.Nodes {
			for _, a := range s.Nodes[i].Addresses {
				c.nodes[a] = true
			}
		}
	}
	c.changedBefore, c.changedAfter = changedPolicies(c.before, c.after), changedPolicies(c.after, c.before)
	c.everything = !sameObjects(c.before.snapshot, c.after.snapshot)
	c.groupPods(before.Pods)
	return c, nil
}

func (c *comparison) close() error { return errors.Join(c.before.close(), c.after.close()) }

// sameObjects reports whether two snapshots contain the same objects apart from policies.
func sameObjects(a, b *policy.Snapshot) bool {
	return slices.Equal(a.Namespaces(), b.Namespaces()) &&
		slices.EqualFunc(a.Nodes(), b.Nodes(), func(m, n policy.Node) bool {
			return m.Name == n.Name && m.Labels == n.Labels && slices.Equal(m.Addresses, n.Addresses)
		}) &&
		slices.EqualFunc(a.Pods(), b.Pods(), func(p, q policy.Pod) bool { return p.String() == q.String() && p.Equal(&q) })
}

// listOf returns the number of a list of effects that are sorted and interned.
func (c *comparison) listOf(effects []*effect) int {
	key := ""
	for _, e := range effects {
		key += fmt.Sprintf("%p ", e)
	}
	n, ok := c.listAt[key]
	if !ok {
		n = len(c.lists)
		c.lists = append(c.lists, effects)
		c.listAt[key] = n
	}
	return n
}

// between returns the number of the list of effects on the flows from one group to another in a
// family. The change affects the egress side or the ingress side of these flows.
func (c *comparison) between(from, to *group, f family.Family) int {
	if from.peers[f] == 0 || to.peers[f] == 0 || from == to && len(from.pods) < 2 {
		return notApplicable
	}
	src, dst := from.address(f, false), to.address(f, from == to)
	var egress, ingress *function
	if from.affected[rule.Egress] {
		egress = c.function(functionKey{from.subjects[rule.Egress], to.peers[f]}, src, dst)
	}
	if to.affected[rule.Ingress] {
		ingress = c.function(functionKey{to.subjects[rule.Ingress], from.peers[f]}, dst, src)
	}
	if (egress == nil || egress.same) && (ingress == nil || ingress.same) {
		return 0
	}
	if egress == nil {
		egress = c.function(functionKey{from.subjects[rule.Egress], to.peers[f]}, src, dst)
	}
	if ingress == nil {
		ingress = c.function(functionKey{to.subjects[rule.Ingress], from.peers[f]}, dst, src)
	}
	return c.effects(egress, ingress)
}
