package policy

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Snapshot is the state of a cluster as far as policies can see it. Objects
// come and go one by one and in any order; compilers that follow the snapshot
// note what each change touches and work it out at their next Delta. It is not
// safe for concurrent use, and neither are its compilers.
type Snapshot struct {
	namespaces map[string]*namespace
	// order holds the namespaces in order of appearance, so that the same
	// objects in the same order give the same numbers.
	order   []*namespace
	nodes   map[string]*node
	owners  owners
	cohorts uint64

	peers      map[peerKey]*peer
	lastPeer   uint32
	lastSerial uint32

	followers []*Compiler
}

// namespace is everything in one namespace. It exists once anything is in it.
type namespace struct {
	name string
	// object is nil unless there is a Namespace object.
	object   *Namespace
	pods     map[string]*pod
	cohorts  map[cohortKey]*cohort
	ordered  []*cohort
	policies map[string]*netpol
	// sorted are the policies by name, nil after a change.
	sorted []*netpol
}

// pod is one Pod object through all its states.
type pod struct {
	*Pod
	ns *namespace
	// cohort is nil unless the pod is live.
	cohort *cohort
	// place is the pod's index in its cohort.
	place int
}

// live reports whether policies see the pod at all: it is in the pod network
// and not finished. Without an address it still is no peer and no subject.
func (p *Pod) live() bool { return !p.HostNetwork && !p.Finished && len(p.Addresses) > 0 }

// node is what is known of one node's addresses, from its Node object and from
// the pods bound to it.
type node struct {
	name   string
	object *Node
	pods   map[*pod]struct{}
	// addresses counts who says that the address is the node's.
	addresses map[netip.Addr]int
}

// NewSnapshot gives an empty cluster.
func NewSnapshot() *Snapshot {
	return &Snapshot{
		namespaces: map[string]*namespace{},
		nodes:      map[string]*node{},
		owners:     owners{one: map[netip.Addr]*pod{}, many: map[netip.Addr][]*pod{}},
		peers:      map[peerKey]*peer{},
	}
}

// Objects is a set of objects for Snapshot.Load.
type Objects struct {
	Namespaces []Namespace
	Nodes      []Node
	Pods       []*Pod
	Policies   []*Policy
}

// Load adds objects to the snapshot, or updates those that it has. See UpsertPod
// for the ownership of pods.
func (s *Snapshot) Load(in Objects) {
	for _, ns := range in.Namespaces {
		s.UpsertNamespace(ns)
	}
	for _, n := range in.Nodes {
		s.UpsertNode(n)
	}
	for _, p := range in.Policies {
		s.UpsertPolicy(p)
	}
	for _, p := range in.Pods {
		s.UpsertPod(p)
	}
}

// UpsertPod sets the state of a pod. A state that means the same as the one
// before costs a comparison.
//
// The pod is the snapshot's from now on: nobody else may change it, nor read it
// while the snapshot is in use, which lets parts of it share memory with equal
// parts of others.
func (s *Snapshot) UpsertPod(in *Pod) {
	ns := s.namespace(in.Namespace)
	in.Namespace = ns.name
	p := ns.pods[in.Name]
	if p == nil {
		p = &pod{ns: ns}
		ns.pods[in.Name] = p
	} else {
		if p.equal(in) {
			in.Node, in.HostAddresses, in.Ports = p.Node, p.HostAddresses, p.Ports
			p.Pod = in
			return
		}
		s.detach(p)
	}
	p.Pod = in
	s.attach(p)
}

// DeletePod forgets a pod.
func (s *Snapshot) DeletePod(namespace, name string) {
	ns := s.namespaces[orDefault(namespace)]
	if ns == nil || ns.pods[name] == nil {
		return
	}
	p := ns.pods[name]
	delete(ns.pods, name)
	s.detach(p)
	s.dropIfEmpty(ns)
}

// attach makes a pod's state count.
func (s *Snapshot) attach(p *pod) {
	n := s.node(p.Node)
	p.Node = n.name
	n.pods[p] = struct{}{}
	p.eachNodeAddress(func(a netip.Addr) { s.addNodeAddress(n, a) })
	if p.live() {
		s.join(p)
		for _, a := range p.Addresses {
			s.owners.claim(a, p)
		}
		s.podTouched(p)
	}
}

// detach takes a pod's state back.
func (s *Snapshot) detach(p *pod) {
	n := s.node(p.Node)
	delete(n.pods, p)
	p.eachNodeAddress(func(a netip.Addr) { s.dropNodeAddress(n, a) })
	if p.cohort != nil {
		for _, a := range p.Addresses {
			s.owners.release(a, p)
		}
		s.leave(p)
		s.podTouched(p)
	}
	s.dropNodeIfUnknown(n)
}

// podTouched tells the followers to look again at a pod and its addresses.
func (s *Snapshot) podTouched(p *pod) {
	for _, f := range s.followers {
		if p.Node == f.node {
			f.touchedPods = append(f.touchedPods, p)
		}
		f.touchedAddrs = append(f.touchedAddrs, p.Addresses...)
	}
}

// UpsertNamespace sets a namespace's labels. The label that the API server
// puts on every namespace, kubernetes.io/metadata.name, is there always.
func (s *Snapshot) UpsertNamespace(in Namespace) {
	if in.Labels.Get(corev1.LabelMetadataName) != in.Name {
		in.Labels = in.Labels.With(corev1.LabelMetadataName, in.Name)
	}
	ns := s.namespace(in.Name)
	if ns.object != nil && *ns.object == in {
		return
	}
	ns.object = &in
	s.namespaceTouched(ns)
}

// DeleteNamespace forgets a namespace's labels. What is in it stays until it is
// deleted itself: from now on no namespaceSelector matches it.
func (s *Snapshot) DeleteNamespace(name string) {
	ns := s.namespaces[name]
	if ns == nil || ns.object == nil {
		return
	}
	ns.object = nil
	s.namespaceTouched(ns)
	s.dropIfEmpty(ns)
}

func (s *Snapshot) namespaceTouched(ns *namespace) {
	for _, f := range s.followers {
		f.touchedCohorts = append(f.touchedCohorts, ns.ordered...)
	}
}

// UpsertPolicy sets a policy. A policy that means the same as the one before
// costs a comparison.
func (s *Snapshot) UpsertPolicy(in *Policy) {
	ns := s.namespace(in.Scope)
	old := ns.policies[in.Name]
	if old != nil && old.policy.equal(in) {
		return
	}
	np := compilePolicy(in)
	s.lastSerial++
	np.serial = s.lastSerial
	np.eachPeer(s.share)
	ns.policies[in.Name] = np
	s.policyTouched(ns, old)
}

// DeletePolicy forgets a policy.
func (s *Snapshot) DeletePolicy(namespace, name string) {
	ns := s.namespaces[orDefault(namespace)]
	if ns == nil || ns.policies[name] == nil {
		return
	}
	old := ns.policies[name]
	delete(ns.policies, name)
	s.policyTouched(ns, old)
	s.dropIfEmpty(ns)
}

// policyTouched tells the followers that pods of a namespace may have other
// policies, and lets go of the peers of the policy that went.
func (s *Snapshot) policyTouched(ns *namespace, old *netpol) {
	ns.sorted = nil
	if old != nil {
		old.eachPeer(s.unshare)
	}
	for _, f := range s.followers {
		f.touchedNamespaces = append(f.touchedNamespaces, ns)
	}
}

// share replaces a peer by the one that the snapshot holds for its key.
func (s *Snapshot) share(p **peer) {
	held := s.peers[(*p).key]
	if held == nil {
		held = *p
		s.lastPeer++
		held.id = s.lastPeer
		s.peers[held.key] = held
	}
	held.refs++
	*p = held
}

func (s *Snapshot) unshare(p **peer) {
	if (*p).refs--; (*p).refs == 0 {
		delete(s.peers, (*p).key)
	}
}

func (s *Snapshot) namespace(name string) *namespace {
	name = orDefault(name)
	ns := s.namespaces[name]
	if ns == nil {
		ns = &namespace{name: name, pods: map[string]*pod{}, cohorts: map[cohortKey]*cohort{}, policies: map[string]*netpol{}}
		s.namespaces[name] = ns
		s.order = append(s.order, ns)
	}
	return ns
}

func (s *Snapshot) dropIfEmpty(ns *namespace) {
	if ns.object != nil || len(ns.pods) > 0 || len(ns.policies) > 0 {
		return
	}
	delete(s.namespaces, ns.name)
	s.order = slices.DeleteFunc(s.order, func(o *namespace) bool { return o == ns })
}

// Owner gives the pod that has an address: live, in the pod network, and the
// winner where several objects claim it.
func (s *Snapshot) Owner(a netip.Addr) (Pod, bool) {
	if p := s.owners.of(a); p != nil {
		return *p.Pod, true
	}
	return Pod{}, false
}

// End returns the end of a connection that has an address.
func (s *Snapshot) End(a netip.Addr) End {
	end := End{Address: a}
	if p := s.owners.of(a); p != nil {
		end.Pod, end.Namespace = p.Pod, p.ns.object
	}
	return end
}

// Pods gives every pod, sorted by namespace and name.
func (s *Snapshot) Pods() []Pod {
	var out []Pod
	for _, ns := range s.order {
		for _, p := range ns.pods {
			out = append(out, *p.Pod)
		}
	}
	slices.SortFunc(out, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// Namespaces gives every namespace that has a Namespace object, sorted by name.
func (s *Snapshot) Namespaces() []Namespace {
	var out []Namespace
	for _, ns := range s.order {
		if ns.object != nil {
			out = append(out, *ns.object)
		}
	}
	slices.SortFunc(out, func(a, b Namespace) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Nodes gives every node that has a Node object, sorted by name.
func (s *Snapshot) Nodes() []Node {
	var out []Node
	for _, n := range s.nodes {
		if n.object != nil {
			out = append(out, *n.object)
		}
	}
	slices.SortFunc(out, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Policies returns every policy, sorted by namespace and name.
func (s *Snapshot) Policies() []*Policy {
	var out []*Policy
	for _, ns := range s.order {
		for _, np := range ns.policies {
			out = append(out, np.policy)
		}
	}
	slices.SortFunc(out, func(a, b *Policy) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// sortedPolicies gives the namespace's policies by name.
func (ns *namespace) sortedPolicies() []*netpol {
	if ns.sorted == nil {
		ns.sorted = slices.SortedFunc(maps.Values(ns.policies), byName)
	}
	return ns.sorted
}

func byName(a, b *netpol) int { return cmp.Compare(a.name, b.name) }
