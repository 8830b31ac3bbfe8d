package policy

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/policy/internal/claims"
)

// Snapshot contains the objects of a cluster that affect policies. Objects can be added and
// deleted one by one, in any order. A Snapshot is not safe for concurrent use.
type Snapshot struct {
	namespaces map[string]*TrackedNamespace
	// order lists the namespaces in the order in which they were added. A compiler processes them
	// in this order. So if the same objects are added in the same order, the IDs in the tree are
	// the same.
	order []*TrackedNamespace
	nodes map[string]*node
	// cluster contains the cluster-scoped policies.
	cluster clusterPolicies
	owners  claims.Claims[netip.Addr, *TrackedPod]
	cohorts uint64
	// sandboxes contains the sandboxes of one node.
	sandboxes sandboxes
	// announced contains the state of each Pod object that announces addresses.
	announced map[*TrackedPod]*Pod

	tracking []*Changes
}

// TrackedNamespace contains the Namespace object, the pods and the policies of one namespace.
// It exists while it contains at least one of these objects.
type TrackedNamespace struct {
	name string
	// The `object` field is nil if the namespace has no Namespace object. If the Namespace object
	// was deleted while a pod had a sandbox, the `deleted` field contains the last Namespace
	// object. See Snapshot.retain.
	object, deleted *Namespace
	// The `pods` field contains the pods that have a Pod object, by name. The `gone` field
	// contains the lingering pods, by UID.
	pods, gone map[string]*TrackedPod
	cohorts    map[cohortKey]*Cohort
	ordered    []*Cohort
	policies   map[string]*Policy
	// retained lists deleted policies that still apply. See Snapshot.retain.
	retained []*Policy
	// sorted caches the policies in the order of their evaluation. A change of a policy resets it
	// to nil.
	sorted []*Policy
}

// TrackedPod represents a pod in a snapshot. When its Pod object or its sandboxes change,
// the snapshot keeps the TrackedPod and replaces its state.
type TrackedPod struct {
	// Pod is the current state of the pod: the state of the Pod object, combined with the
	// addresses of the pod's sandboxes.
	*Pod
	ns *TrackedNamespace
	// cohort is nil if the pod is not live.
	cohort *Cohort
	// index is the index of the pod in its cohort.
	index int
}

// Objects contains the objects that Snapshot.Load adds.
type Objects struct {
	Namespaces []Namespace
	Nodes      []Node
	Pods       []*Pod
	Policies   []*Policy
}

// NewSnapshot returns the snapshot of an empty cluster.
func NewSnapshot() *Snapshot {
	s := &Snapshot{
		namespaces: map[string]*TrackedNamespace{},
		nodes:      map[string]*node{},
		sandboxes:  sandboxes{pods: map[*TrackedPod]*sandboxed{}},
		announced:  map[*TrackedPod]*Pod{},
		cluster:    clusterPolicies{all: map[string]*Policy{}},
	}
	s.owners = claims.New(s.precedence)
	return s
}

// Load adds or updates objects. Like UpsertPod, it takes ownership of the pods.
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

// UpsertPod adds a pod or updates its state. If the change affects no policy, the call does not
// update the indexes of the snapshot.
//
// UpsertPod takes ownership of the pod. The caller must not change the pod after the call. To
// share memory between pods with equal parts, the snapshot replaces parts of the pod. Therefore
// the caller must not read the pod while the snapshot is in use.
func (s *Snapshot) UpsertPod(in *Pod) {
	ns := s.namespace(in.Namespace)
	in.Namespace = ns.name
	p := ns.pods[in.Name]
	if p != nil && p.UID != in.UID {
		s.removePod(p)
		p = nil
	}
	switch known := ns.gone[in.sandboxUID()]; {
	case p == nil && known != nil && known.Name == in.Name:
		// The pod was lingering because its object had been deleted from the snapshot, but
		// the object has been added again.
		delete(ns.gone, in.sandboxUID())
		p = known
		ns.pods[in.Name] = p
	case p == nil:
		p = &TrackedPod{ns: ns}
		ns.pods[in.Name] = p
	case s.objectOf(p).Equal(in):
		in.Node, in.HostAddresses, in.Ports = p.Node, s.objectOf(p).HostAddresses, p.Ports
		if box := s.sandboxes.pods[p]; box != nil {
			box.object = in
		} else if s.announced[p] != nil {
			s.announced[p] = in
		} else {
			p.Pod = in
		}
		return
	}
	before := in.Node
	if p.Pod != nil {
		before = p.Node
	}
	s.update(p, in, false)
	s.settle(ns)
	s.settleAnnounced(in.Node)
	if before != in.Node {
		s.settleAnnounced(before)
	}
}

// DeletePod removes a Pod object. If the pod has a sandbox, the pod remains live until its
// sandbox ends. Otherwise DeletePod removes the pod.
func (s *Snapshot) DeletePod(namespace, name string) {
	ns := s.namespaces[orDefault(namespace)]
	if ns == nil || ns.pods[name] == nil {
		return
	}
	s.removePod(ns.pods[name])
	s.settle(ns)
}

// removePod handles the deletion of a Pod object. If the pod has no sandbox, removePod
// removes the pod.
func (s *Snapshot) removePod(p *TrackedPod) {
	if s.linger(p) {
		return
	}
	delete(p.ns.pods, p.Name)
	s.detach(p)
	delete(s.announced, p)
	s.settleAnnounced(p.Node)
}

// attach adds a pod to the indexes of the snapshot, according to its current state.
func (s *Snapshot) attach(p *TrackedPod) {
	n := s.node(p.Node)
	p.Node = n.name
	n.pods[p] = struct{}{}
	if s.waits(p) {
		n.waiting[p] = struct{}{}
	}
	p.eachNodeAddress(func(a netip.Addr) { s.addNodeAddress(n, a) })
	if p.live() {
		s.join(p)
		for _, a := range p.Addresses {
			s.owners.Claim(a, p)
		}
		s.podChanged(p)
	}
}

// detach removes a pod from the indexes of the snapshot. The state of the pod must not have
// changed since attach.
func (s *Snapshot) detach(p *TrackedPod) {
	n := s.node(p.Node)
	delete(n.pods, p)
	delete(n.waiting, p)
	p.eachNodeAddress(func(a netip.Addr) { s.dropNodeAddress(n, a) })
	if p.cohort != nil {
		for _, a := range p.Addresses {
			s.owners.Release(a, p)
		}
		s.leave(p)
		s.podChanged(p)
	}
	s.dropNodeIfEmpty(n)
}

// UpsertNamespace adds a namespace or updates its labels. It adds the label
// kubernetes.io/metadata.name, which the API server sets on every namespace.
func (s *Snapshot) UpsertNamespace(in Namespace) {
	if in.Labels.Get(corev1.LabelMetadataName) != in.Name {
		in.Labels = in.Labels.With(corev1.LabelMetadataName, in.Name)
	}
	ns := s.namespace(in.Name)
	if ns.object != nil && *ns.object == in {
		return
	}
	ns.object = &in
	s.namespaceChanged(ns)
}

// DeleteNamespace removes a Namespace object. The pods and policies in the namespace remain
// until they are deleted, but no namespaceSelector matches the pods.
func (s *Snapshot) DeleteNamespace(name string) {
	ns := s.namespaces[name]
	if ns == nil || ns.object == nil {
		return
	}
	if s.hasSandboxes(ns) {
		ns.deleted = ns.object
	}
	ns.object = nil
	s.namespaceChanged(ns)
	s.settle(ns)
}

// UpsertPolicy adds or updates a policy. If the new version of a policy has the same effect as the
// old version, the snapshot keeps the old version, but replaces its UID and its generation.
// UpsertPolicy takes ownership of the policy.
func (s *Snapshot) UpsertPolicy(in *Policy) {
	if in.Scope == "" {
		s.upsertClusterPolicy(in)
		return
	}
	ns := s.namespace(in.Scope)
	if old := ns.policies[in.Name]; old != nil && old.Equal(in) {
		if old.UID != in.UID || old.Generation != in.Generation {
			old.UID, old.Generation = in.UID, in.Generation
			s.policiesChanged(ns)
		}
		return
	}
	ns.policies[in.Name] = in
	s.policiesChanged(ns)
}

// DeletePolicy removes a policy. The namespace of a cluster-scoped policy is empty. If the namespace
// of the policy is being deleted, the policy still applies to pods that have a sandbox.
func (s *Snapshot) DeletePolicy(namespace, name string) {
	if namespace == "" {
		s.deleteClusterPolicy(name)
		return
	}
	ns := s.namespaces[namespace]
	if ns == nil || ns.policies[name] == nil {
		return
	}
	s.retain(ns, ns.policies[name])
	delete(ns.policies, name)
	s.policiesChanged(ns)
	s.settle(ns)
}

func (s *Snapshot) namespace(name string) *TrackedNamespace {
	name = orDefault(name)
	ns := s.namespaces[name]
	if ns == nil {
		ns = &TrackedNamespace{name: name, pods: map[string]*TrackedPod{}, gone: map[string]*TrackedPod{}, cohorts: map[cohortKey]*Cohort{}, policies: map[string]*Policy{}}
		s.namespaces[name] = ns
		s.order = append(s.order, ns)
	}
	return ns
}

// Owner returns the live pod that owns an address. If several pods have the address, the
// owner is the pod whose claim takes precedence. See Snapshot.precedence.
func (s *Snapshot) Owner(a netip.Addr) (Pod, bool) {
	if p := s.owners.Owner(a); p != nil {
		return *p.Pod, true
	}
	return Pod{}, false
}

// End describes an end of a connection. The end has the given address.
func (s *Snapshot) End(a netip.Addr) End {
	end := End{Address: a}
	if len(s.cluster.all) > 0 { // Only rules of cluster-scoped policies refer to nodes.
		end.Node = s.nodeWith(a)
	}
	if p := s.owners.Owner(a); p != nil {
		end.Pod, end.Namespace = p.Pod, p.ns.object
	}
	return end
}

// Pods returns every pod, sorted by namespace and name.
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

// Namespaces returns every Namespace object, sorted by name.
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

// Nodes returns every Node object, sorted by name.
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

// Policies returns every policy, sorted by tier, priority, namespace and name.
func (s *Snapshot) Policies() []*Policy {
	out := slices.Collect(maps.Values(s.cluster.all))
	for _, ns := range s.order {
		out = slices.AppendSeq(out, maps.Values(ns.policies))
	}
	slices.SortFunc(out, inOrder)
	return out
}

// TrackedNamespace returns the contents of a namespace. It returns nil if the namespace is
// empty and has no Namespace object.
func (s *Snapshot) TrackedNamespace(name string) *TrackedNamespace { return s.namespaces[name] }

// TrackedNamespaces returns all namespaces in the order in which they were added.
func (s *Snapshot) TrackedNamespaces() []*TrackedNamespace { return s.order }

// TrackedOwner returns the live pod that owns an address, or nil if no pod owns the address.
func (s *Snapshot) TrackedOwner(a netip.Addr) *TrackedPod { return s.owners.Owner(a) }

// OwnedAddresses returns an iterator over all addresses of live pods.
func (s *Snapshot) OwnedAddresses() iter.Seq[netip.Addr] { return s.owners.Keys() }

// Name returns the name of the namespace.
func (ns *TrackedNamespace) Name() string { return ns.name }

// Object returns the Namespace object, or nil if no such object exists.
func (ns *TrackedNamespace) Object() *Namespace { return ns.object }

// Cohorts returns all cohorts of pods in the namespace.
func (ns *TrackedNamespace) Cohorts() []*Cohort { return ns.ordered }

// Policies returns the policies of the namespace in the order of their evaluation.
func (ns *TrackedNamespace) Policies() []*Policy {
	if ns.sorted == nil {
		ns.sorted = slices.SortedFunc(maps.Values(ns.policies), inOrder)
	}
	return ns.sorted
}

// Cohort returns the cohort of the pod, or nil if the pod is not live. A pod is live if it
// is in the pod network, has not finished and has an address.
func (p *TrackedPod) Cohort() *Cohort { return p.cohort }
