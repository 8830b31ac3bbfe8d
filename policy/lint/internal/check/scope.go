package check

import "github.com/sluicenet/sluice/policy"

// Scope is a set of objects that a check reads.
type Scope uint8

// These are the scopes. Each scope includes the scopes before it.
const (
	// ScopePolicy contains only the policy itself.
	ScopePolicy Scope = iota
	// ScopeNamespace contains the Namespace object, the pods and the policies of the policy's
	// namespace. A user with the role `view` in the namespace can read all of them.
	ScopeNamespace
	// ScopeCluster contains the objects of all namespaces.
	ScopeCluster
)

// String returns the name of the scope in the documentation.
func (s Scope) String() string { return [...]string{"policy", "namespace", "cluster"}[s] }

// Contains reports whether all pods that can match a peer are in the scope of the run.
func (c *Cluster) Contains(peer *policy.Peer) bool {
	return c.RunScope == ScopeCluster || peer.Block == nil && peer.Namespace != ""
}

// ContainsAll reports whether all pods that can match a peer of a rule are in the scope of the
// run.
func (c *Cluster) ContainsAll(r *policy.Rule) bool {
	for i := range r.Peers {
		if !r.Peers[i].Invalid && !c.Contains(&r.Peers[i]) {
			return false
		}
	}
	return c.RunScope == ScopeCluster || len(r.Peers) > 0
}
