package policy

import "slices"

// maxRetained is the maximum number of deleted policies that a snapshot keeps for one
// namespace. It limits the memory for deleted policies.
const maxRetained = 1000

// retain keeps a policy that is deleted together with its namespace, because pods must remain
// isolated until they have ended. The policy still applies to the pods of the namespace while
// at least one of these pods has a sandbox. Kubernetes 1.34 and later delete the policies of
// a namespace after its pods. Earlier versions delete pods and policies in any order. In
// addition, the containers of a force-deleted pod can outlive the Pod object.
func (s *Snapshot) retain(ns *TrackedNamespace, p *Policy) {
	if !ns.active() && len(ns.retained) < maxRetained && s.hasSandboxes(ns) {
		ns.retained = append(ns.retained, p)
	}
}

// namespaceChanged records a change of the Namespace object.
func (s *Snapshot) namespaceChanged(ns *TrackedNamespace) {
	s.cohortsChanged(ns.ordered...)
	if len(ns.retained) > 0 || len(s.cluster.all) > 0 {
		s.policiesChanged(ns)
	}
}

// subjectNamespace returns the Namespace object whose labels determine which cluster-scoped
// policies select the pods of the cohort. For lingering pods of a deleted namespace, this is the
// deleted Namespace object. If there is no object, subjectNamespace returns nil.
func (c *Cohort) subjectNamespace() *Namespace {
	if c.ns.deleted != nil && (c.ns.object == nil || c.key.gone) {
		return c.ns.deleted
	}
	return c.ns.object
}

// hasSandboxes reports whether at least one pod of a namespace has a sandbox.
func (s *Snapshot) hasSandboxes(ns *TrackedNamespace) bool {
	for p := range s.sandboxes.pods {
		if p.ns == ns {
			return true
		}
	}
	return false
}

// active reports whether the namespace exists and is not being deleted.
func (ns *TrackedNamespace) active() bool { return ns.object != nil && !ns.object.Terminating }

// Policies returns the policies that can apply to the pods of the cohort, in the order of
// evaluation. These are the cluster-scoped policies, the policies of the namespace, and the policies
// that were deleted together with the namespace. If a namespace with the same name was created
// later, the deleted policies apply only to pods whose Pod objects are gone.
func (c *Cohort) Policies() []*Policy {
	own := c.ns.Policies()
	if len(c.ns.retained) > 0 && (!c.ns.active() || c.key.gone) {
		own = slices.SortedStableFunc(slices.Values(slices.Concat(own, c.ns.retained)), inOrder)
	}
	cluster := &c.snapshot.cluster
	if len(cluster.all) == 0 {
		return own
	}
	return slices.Concat(cluster.admin, own, cluster.baseline)
}

// settle removes the parts of a namespace that are no longer needed. If no pod of the namespace has a
// sandbox, it removes the retained policies and the deleted Namespace object. If the namespace is
// empty, it removes the namespace.
func (s *Snapshot) settle(ns *TrackedNamespace) {
	if (len(ns.retained) > 0 || ns.deleted != nil) && !s.hasSandboxes(ns) {
		ns.retained, ns.deleted = nil, nil
		s.policiesChanged(ns)
	}
	if ns.object != nil || len(ns.pods) > 0 || len(ns.gone) > 0 || len(ns.policies) > 0 {
		return
	}
	delete(s.namespaces, ns.name)
	s.order = slices.DeleteFunc(s.order, func(o *TrackedNamespace) bool { return o == ns })
}
