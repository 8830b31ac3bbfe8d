package policy

import "slices"

// maxRetained is the maximum number of deleted policies that a snapshot keeps for one
// namespace. It limits the memory for deleted policies.
const maxRetained = 1000

// retain keeps a policy that is deleted together with its namespace. The policy still
// applies to the pods of the namespace while at least one of them has a sandbox, because
// pods must remain isolated until they have ended. Kubernetes 1.34 and later delete the
// policies of a namespace after its pods, but earlier versions delete them in any order,
// and the containers of a force-deleted pod outlive the Pod object.
func (s *Snapshot) retain(ns *TrackedNamespace, p *Policy) {
	if !ns.active() && len(ns.retained) < maxRetained && s.hasSandboxes(ns) {
		ns.retained = append(ns.retained, p)
	}
}

// namespaceChanged records a change of the Namespace object.
func (s *Snapshot) namespaceChanged(ns *TrackedNamespace) {
	s.cohortsChanged(ns.ordered...)
	if len(ns.retained) > 0 {
		s.policiesChanged(ns)
	}
}

// hasSandboxes reports whether a pod of a namespace has a sandbox.
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
// their evaluation. These are the policies of the namespace, and the policies that were
// deleted with the namespace. If the namespace was created again, the deleted policies
// apply only to pods whose Pod objects are gone.
func (c *Cohort) Policies() []*Policy {
	if len(c.ns.retained) == 0 || c.ns.active() && !c.key.gone {
		return c.ns.Policies()
	}
	return slices.SortedStableFunc(slices.Values(slices.Concat(c.ns.Policies(), c.ns.retained)), inOrder)
}
