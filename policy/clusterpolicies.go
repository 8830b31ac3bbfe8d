package policy

import (
	"cmp"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// clusterPolicies contains the cluster-scoped policies of a snapshot.
type clusterPolicies struct {
	// all contains the policies by name.
	all map[string]*Policy
	// admin and baseline contain the policies of these tiers in the order of their evaluation.
	admin, baseline []*Policy
}

func (s *Snapshot) upsertClusterPolicy(in *Policy) {
	old := s.cluster.all[in.Name]
	if old != nil && old.Equal(in) {
		if old.UID != in.UID || old.Generation != in.Generation {
			old.UID, old.Generation = in.UID, in.Generation
			s.clusterPolicyChanged(old)
		}
		return
	}
	s.cluster.all[in.Name] = in
	s.clusterPolicyChanged(old, in)
}

func (s *Snapshot) deleteClusterPolicy(name string) {
	if old := s.cluster.all[name]; old != nil {
		delete(s.cluster.all, name)
		s.clusterPolicyChanged(old)
	}
}

// clusterPolicyChanged must be called when a policy changes, with the old and the new version. One
// of them can be nil. It records a change in each namespace in which one of the versions can
// select pods.
func (s *Snapshot) clusterPolicyChanged(versions ...*Policy) {
	sorted := slices.SortedFunc(maps.Values(s.cluster.all), inOrder)
	baseline := slices.IndexFunc(sorted, func(p *Policy) bool { return p.Tier == rule.BaselineTier })
	if baseline < 0 {
		baseline = len(sorted)
	}
	s.cluster.admin, s.cluster.baseline = sorted[:baseline], sorted[baseline:]
	for _, ns := range s.order {
		if slices.ContainsFunc(versions, func(p *Policy) bool { return p != nil && p.canSelectPodsOf(ns) }) {
			s.policiesChanged(ns)
		}
	}
}

func (p *Policy) canSelectPodsOf(ns *TrackedNamespace) bool {
	return p.Subject.MatchesNamespace(ns.name, ns.object) || p.Subject.MatchesNamespace(ns.name, ns.deleted)
}

// ClusterPolicies returns the cluster-scoped policies in the order of their evaluation.
func (s *Snapshot) ClusterPolicies() []*Policy {
	return slices.Concat(s.cluster.admin, s.cluster.baseline)
}

// inOrder orders policies as they are evaluated.
func inOrder(p, q *Policy) int {
	return cmp.Or(cmp.Compare(p.Tier, q.Tier), cmp.Compare(p.Priority, q.Priority), cmp.Compare(p.Scope, q.Scope), cmp.Compare(p.Name, q.Name))
}
