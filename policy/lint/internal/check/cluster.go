package check

import (
	"cmp"
	"encoding/binary"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/lint/internal/dns"
	"github.com/sluicenet/sluice/policy/service"
)

// Cluster contains the objects that a run of lint reads, with indexes for the checks. In a run
// with ScopeNamespace, it contains the objects of one namespace only.
type Cluster struct {
	// RunScope is the scope of the run.
	RunScope Scope
	limits   Limits
	// left is the unused part of the budget limits.Total.
	left int
	// Namespaces contains the namespaces that have an object in the input, by name.
	Namespaces map[string]*Space
	// withOthers contains the namespaces that have finished pods or pods in the host network, sorted
	// by name.
	withOthers []*Space
	// WithPods contains the namespaces that have pods in the pod network, sorted by name.
	WithPods []*Space
	// NamespaceObjects is the number of Namespace objects.
	NamespaceObjects int
	// Policies contains all policies in the order of their evaluation.
	Policies []*Policy
	// Tiers contains the policies of each tier in the order of their evaluation.
	Tiers     [rule.Tiers][]*Policy
	addresses []podAddress
	// PodsKnown is false if the input contains only policies. Checks then cannot determine
	// which pods a selector matches.
	PodsKnown bool
	// DNSServers contains the DNS servers in the pod network.
	DNSServers []DNSServer
	// NodeLocalDNS is true if the nodes run DNS caches, to which pods send their queries.
	NodeLocalDNS bool
	// Partial is true if objects of the cluster can be missing in the input.
	Partial bool
	// blanks contains, for each policy, the fields that its manifest contains without a value. The
	// first key is the policy in the format "namespace/name".
	blanks map[string]map[string]bool
	// RunSometimes contains the pods that stand for the pods of a workload that runs only sometimes. See
	// lint.Input.
	RunSometimes map[string]string
	services     []*service.Service
	endpoints    []*service.Slice
	// serviceAddresses contains the virtual addresses of Services, in ascending order, except for
	// addresses of pods and nodes.
	serviceAddresses []ServiceAddress
	nodeAddresses    map[netip.Addr]bool
}

// Space contains the objects of one namespace.
type Space struct {
	Name string
	// Object is nil if the namespace has no Namespace object.
	Object *policy.Namespace
	// Groups contains the pods that selectors can match. These are the pods in the pod network
	// that have not finished. They include pods that have no address yet.
	Groups []*Group
	byKey  map[groupKey]*Group
	// HostPods contains the pods in the host network that have not finished.
	HostPods []*policy.Pod
	// Finished contains the pods that have finished.
	Finished []*policy.Pod
	Policies []*Policy
	services []*service.Service
	DNS      DNSState
}

// Group contains the pods of one namespace with equal labels and equal ports. A selector, a port or a
// Service matches either all pods of a group or none, so each group is compared only once.
type Group struct {
	Namespace *Space
	Labels    label.Set
	ports     policy.ContainerPorts
	// DeclaredPorts contains the ports that the pods declare, with and without names.
	DeclaredPorts policy.PortSet
	// RunsSometimes describes the workload of the pods, such as "CronJob nightly", if the pods run only
	// sometimes. Otherwise it is "".
	RunsSometimes string
	// services caches the result of ServicesOf.
	services []*service.Service
	// Pods is sorted by name.
	Pods []*policy.Pod
	// IsDNSServer is true if the pods are DNS servers. DNSPort is the port on which DNS servers listen.
	IsDNSServer bool
	DNSPort     uint16
	// AllowsDNS is true if a policy that selects the pods allows DNS. HasEgressRules is true if a
	// policy that selects the pods has egress rules. The check no-dns sets both fields.
	AllowsDNS, HasEgressRules bool
	Tiers                     TierFacts
}

type groupKey struct {
	labels        label.Set
	ports         string
	declared      policy.PortSet
	runsSometimes string
}

// Policy is a policy, together with its namespace.
type Policy struct {
	*policy.Policy
	Namespace *Space
	name      string
}

// NewCluster returns a cluster without objects. The `podsKnown` parameter is false if the input contains
// no pods.
func NewCluster(scope Scope, l Limits, podsKnown bool) *Cluster {
	return &Cluster{RunScope: scope, limits: l, left: l.Total, Namespaces: map[string]*Space{}, nodeAddresses: map[netip.Addr]bool{}, PodsKnown: podsKnown}
}

// Space returns the objects of a namespace.
func (c *Cluster) Space(name string) *Space {
	s := c.Namespaces[name]
	if s == nil {
		s = &Space{Name: name, byKey: map[groupKey]*Group{}}
		c.Namespaces[name] = s
	}
	return s
}

// AddPod adds a pod. The pods of a namespace must be added in the order of their names.
func (c *Cluster) AddPod(p *policy.Pod) {
	s := c.Space(p.Namespace)
	switch {
	case p.Finished:
		s.Finished = append(s.Finished, p)
		return
	case p.HostNetwork:
		c.NodeLocalDNS = c.NodeLocalDNS || dns.IsNodeLocal(p.Labels)
		s.HostPods = append(s.HostPods, p)
		return
	}
	g := s.group(p, c.RunSometimes[p.String()])
	g.Pods = append(g.Pods, p)
	for _, a := range p.Addresses {
		c.addresses = append(c.addresses, podAddress{addr: a, pod: p, Group: g})
	}
}

// group returns the group to which a pod belongs. The `runsSometimes` parameter is the value of
// Group.RunsSometimes.
func (s *Space) group(p *policy.Pod, runsSometimes string) *Group {
	var buf [128]byte
	ports := buf[:0]
	for _, port := range p.Ports {
		ports = append(append(ports, port.Name...), 0, byte(port.Protocol))
		ports = binary.BigEndian.AppendUint16(ports, port.Number)
	}
	key := groupKey{p.Labels, string(ports), p.DeclaredPorts, runsSometimes}
	g := s.byKey[key]
	if g == nil {
		g = &Group{
			Namespace: s, Labels: p.Labels, ports: p.Ports, DeclaredPorts: p.DeclaredPorts, RunsSometimes: runsSometimes,
			IsDNSServer: dns.IsServer(s.Name, p.Labels, p.Ports), DNSPort: dns.Port(p.Ports),
		}
		s.byKey[key] = g
		s.Groups = append(s.Groups, g)
	}
	return g
}

// AddPolicies adds policies. They must be in the order of their evaluation.
func (c *Cluster) AddPolicies(policies []*policy.Policy) {
	for _, p := range policies {
		s := &Policy{Policy: p, Namespace: c.Space(p.Scope), name: p.String()}
		c.Policies = append(c.Policies, s)
		s.Namespace.Policies = append(s.Namespace.Policies, s)
		c.Tiers[p.Tier] = append(c.Tiers[p.Tier], s)
	}
}

// index completes the indexes after all objects have been added.
func (c *Cluster) index() {
	for _, name := range slices.Sorted(maps.Keys(c.Namespaces)) {
		s := c.Namespaces[name]
		if len(s.HostPods)+len(s.Finished) > 0 {
			c.withOthers = append(c.withOthers, s)
		}
		if s.byKey = nil; len(s.Groups) > 0 {
			c.WithPods = append(c.WithPods, s)
		}
	}
	slices.SortStableFunc(c.addresses, func(a, b podAddress) int {
		return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.Group.Namespace.Name, b.Group.Namespace.Name))
	})
	c.indexServices()
	c.indexDNSServers()
}

// Matches reports whether a selector matches the pods of a group.
func (p *Pass) Matches(s label.Selector, g *Group) bool {
	// This estimates the time of Selector.Matches in nanoseconds. That method compares each
	// requirement with the labels. A requirement or a label has at least 4 bytes, and a comparison
	// takes a few nanoseconds.
	return p.Spend(10+s.Size()+s.Size()*g.Labels.Size()/8) && s.Matches(g.Labels)
}

// MatchesSpace reports whether the set can contain pods in a namespace.
func (p *Pass) MatchesSpace(set *policy.PodSet, s *Space) bool {
	size := 0
	if s.Object != nil {
		size = s.Object.Labels.Size()
	}
	return p.Spend(10+set.Namespaces.Size()+set.Namespaces.Size()*size/8) && set.MatchesNamespace(s.Name, s.Object)
}

// SetBlanks sets the fields that the manifest of a policy contains without a value, such as
// spec.ingress[0].from. The `name` parameter has the format "namespace/name".
func (c *Cluster) SetBlanks(name string, fields []string) {
	if c.blanks == nil {
		c.blanks = map[string]map[string]bool{}
	}
	c.blanks[name] = map[string]bool{}
	for _, f := range fields {
		c.blanks[name][f] = true
	}
}

// Blank reports whether the policy's manifest contains the given field without a value.
func (p *Pass) Blank(field string) bool { return p.blanks[p.name][field] }

// Blanks reports whether the policy's manifest contains any field without a value.
func (p *Pass) Blanks() bool { return len(p.blanks[p.name]) > 0 }

// firstOf returns the first pod of a list that the set contains, or nil. The pods do not have to be
// in the pod network. They must be in the namespace s.
func (p *Pass) firstOf(pods []*policy.Pod, s *Space, set *policy.PodSet) *policy.Pod {
	if len(pods) == 0 || !p.MatchesSpace(set, s) {
		return nil
	}
	for _, pod := range pods {
		if p.Matches(set.Pods, &Group{Labels: pod.Labels}) {
			return pod
		}
	}
	return nil
}

// inAnySpace returns the first result of the function f that is not nil, for the namespaces in which
// the set can contain pods, in the order of their names.
func (p *Pass) inAnySpace(set *policy.PodSet, f func(*Space) *policy.Pod) *policy.Pod {
	if set.Namespace != "" {
		return f(p.Space(set.Namespace))
	}
	for _, s := range p.withOthers {
		if pod := f(s); pod != nil {
			return pod
		}
	}
	return nil
}

// HostPodOf returns a pod in the host network that the set would contain if the pod were in the pod
// network. It returns nil if there is no such pod.
func (p *Pass) HostPodOf(set *policy.PodSet) *policy.Pod {
	return p.inAnySpace(set, func(s *Space) *policy.Pod { return p.firstOf(s.HostPods, s, set) })
}

// FinishedPodOf returns a finished pod that the set would contain if the pod were still running. It
// returns nil if there is no such pod.
func (p *Pass) FinishedPodOf(set *policy.PodSet) *policy.Pod {
	return p.inAnySpace(set, func(s *Space) *policy.Pod { return p.firstOf(s.Finished, s, set) })
}

// matchesNamespace reports whether the set matches at least one namespace that has a
// Namespace object.
func (p *Pass) matchesNamespace(set *policy.PodSet) bool {
	for _, s := range p.Namespaces {
		if s.Object != nil && p.MatchesSpace(set, s) {
			return true
		}
	}
	return false
}

// GroupsOf returns an iterator over the groups of pods that a set contains.
func (p *Pass) GroupsOf(set *policy.PodSet) iter.Seq[*Group] {
	spaces := p.WithPods
	if set.Namespace != "" {
		spaces = []*Space{p.Space(set.Namespace)}
	}
	return func(yield func(*Group) bool) {
		for _, s := range spaces {
			if !p.MatchesSpace(set, s) {
				continue
			}
			for _, g := range s.Groups {
				if p.Matches(set.Pods, g) && !yield(g) {
					return
				}
			}
		}
	}
}

// Selected returns an iterator over the groups of pods that the policy selects.
func (p *Pass) Selected() iter.Seq[*Group] { return p.GroupsOf(&p.Subject) }

// AnyPod reports whether an iterator returns at least one group.
func AnyPod(groups iter.Seq[*Group]) bool {
	for range groups {
		return true
	}
	return false
}
