package lint

import (
	"cmp"
	"encoding/binary"
	"iter"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/lint/internal/dns"
)

// cluster contains the objects that a run of lint reads, with indexes for the checks. In a run
// with ScopeNamespace, it contains the objects of one namespace only.
type cluster struct {
	scope  Scope
	limits limits
	// left is the part of limits.total that is left.
	left   int
	spaces map[string]*space
	// withPods contains the namespaces that have pods in the pod network, sorted by name.
	withPods []*space
	// objects is the number of Namespace objects.
	objects  int
	subjects []*subject
	// tiers contains the policies of each tier in the order of their evaluation.
	tiers     [rule.Tiers][]*subject
	addresses []podAddress
	// podsKnown is false if the input contains only policies. Checks then cannot determine
	// which pods a selector matches.
	podsKnown bool
	dnsPods   []*policy.Pod
}

// space contains the objects of one namespace.
type space struct {
	name string
	// object is nil if the namespace has no Namespace object.
	object *policy.Namespace
	// groups contains the pods that selectors can match. These are the pods in the pod network
	// that have not finished. They include pods that have no address yet.
	groups []*group
	byKey  map[groupKey]*group
	// hostPods contains the pods in the host network that have not finished.
	hostPods []*policy.Pod
	subjects []*subject
	dns      dnsState
}

// group contains the pods of one namespace with equal labels and equal named ports, so that
// selectors and port names have to be compared with one of these pods only.
type group struct {
	namespace *space
	labels    label.Set
	ports     policy.ContainerPorts
	// pods is sorted by name.
	pods []*policy.Pod
	// allowsDNS is true if a policy that selects the pods allows DNS, and hasEgressRules if
	// such a policy has egress rules. prepareDNS sets both.
	allowsDNS, hasEgressRules bool
	tiers                     tierFacts
}

type groupKey struct {
	labels label.Set
	ports  string
}

// subject is a policy, together with its namespace.
type subject struct {
	*policy.Policy
	namespace *space
	name      string
}

func newCluster(scope Scope, l limits, podsKnown bool) *cluster {
	return &cluster{scope: scope, limits: l, left: l.total, spaces: map[string]*space{}, podsKnown: podsKnown}
}

func (c *cluster) space(name string) *space {
	s := c.spaces[name]
	if s == nil {
		s = &space{name: name, byKey: map[groupKey]*group{}}
		c.spaces[name] = s
	}
	return s
}

// addPod adds a pod. The pods of a namespace must be added in the order of their names.
func (c *cluster) addPod(p *policy.Pod) {
	s := c.space(p.Namespace)
	switch {
	case p.Finished:
		return
	case p.HostNetwork:
		s.hostPods = append(s.hostPods, p)
		return
	}
	g := s.group(p)
	g.pods = append(g.pods, p)
	for _, a := range p.Addresses {
		c.addresses = append(c.addresses, podAddress{addr: a, pod: p, group: g})
	}
	if dns.IsServer(p.Labels) {
		c.dnsPods = append(c.dnsPods, p)
	}
}

// group returns the group to which a pod belongs.
func (s *space) group(p *policy.Pod) *group {
	var buf [128]byte
	ports := buf[:0]
	for _, port := range p.Ports {
		ports = append(append(ports, port.Name...), 0, byte(port.Protocol))
		ports = binary.BigEndian.AppendUint16(ports, port.Number)
	}
	key := groupKey{p.Labels, string(ports)}
	g := s.byKey[key]
	if g == nil {
		g = &group{namespace: s, labels: p.Labels, ports: p.Ports}
		s.byKey[key] = g
		s.groups = append(s.groups, g)
	}
	return g
}

// addPolicies adds policies. They must be in the order of their evaluation.
func (c *cluster) addPolicies(policies []*policy.Policy) {
	for _, p := range policies {
		s := &subject{Policy: p, namespace: c.space(p.Scope), name: p.String()}
		c.subjects = append(c.subjects, s)
		s.namespace.subjects = append(s.namespace.subjects, s)
		c.tiers[p.Tier] = append(c.tiers[p.Tier], s)
	}
}

// index completes the indexes after all objects have been added.
func (c *cluster) index() {
	for _, name := range slices.Sorted(maps.Keys(c.spaces)) {
		s := c.spaces[name]
		if s.byKey = nil; len(s.groups) > 0 {
			c.withPods = append(c.withPods, s)
		}
	}
	slices.SortStableFunc(c.addresses, func(a, b podAddress) int {
		return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.group.namespace.name, b.group.namespace.name))
	})
}

// matches reports whether a selector matches the pods of a group.
func (p *pass) matches(s label.Selector, g *group) bool {
	// Matches looks up the label of each requirement. A requirement or a label has a length of
	// at least 4 bytes, and a comparison takes a few nanoseconds.
	return p.spend(10+s.Size()+s.Size()*g.labels.Size()/8) && s.Matches(g.labels)
}

// matchesSpace reports whether the set can contain pods in a namespace.
func (p *pass) matchesSpace(set *policy.PodSet, s *space) bool {
	size := 0
	if s.object != nil {
		size = s.object.Labels.Size()
	}
	return p.spend(10+set.Namespaces.Size()+set.Namespaces.Size()*size/8) && set.MatchesNamespace(s.name, s.object)
}

// matchesNamespace reports whether the set matches at least one namespace that has a
// Namespace object.
func (p *pass) matchesNamespace(set *policy.PodSet) bool {
	for _, s := range p.spaces {
		if s.object != nil && p.matchesSpace(set, s) {
			return true
		}
	}
	return false
}

// groupsOf returns an iterator over the groups of pods that a set contains.
func (p *pass) groupsOf(set *policy.PodSet) iter.Seq[*group] {
	spaces := p.withPods
	if set.Namespace != "" {
		spaces = []*space{p.space(set.Namespace)}
	}
	return func(yield func(*group) bool) {
		for _, s := range spaces {
			if !p.matchesSpace(set, s) {
				continue
			}
			for _, g := range s.groups {
				if p.matches(set.Pods, g) && !yield(g) {
					return
				}
			}
		}
	}
}

// selected returns an iterator over the groups of pods that the policy selects.
func (p *pass) selected() iter.Seq[*group] { return p.groupsOf(&p.Subject) }

// anyPod reports whether an iterator returns at least one group.
func anyPod(groups iter.Seq[*group]) bool {
	for range groups {
		return true
	}
	return false
}
