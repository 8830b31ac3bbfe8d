// Package node implements the agent of one node. The agent compiles the NetworkPolicies,
// ClusterNetworkPolicies, Pods, Namespaces and Nodes of the API server into the published tree of
// the node.
//
//	API server --watch--> caches --key--> reconcilers --object--> state --delta--> publisher --> tree/current
//
// Reconcilers are level-based. A reconciler receives a key, reads the current object from
// the cache, and updates the state. If the object was deleted, the reconciler removes it
// from the state. The number and the order of the keys do not matter.
//
// The state is one policy.Snapshot, guarded by one mutex. A reconciler holds the mutex
// while it reads an object and applies it, so that an older version of an object never
// replaces a newer version. One goroutine owns the builder and the publisher. It holds the
// mutex only while it takes a delta.
//
// The agent publishes nothing until all objects of the first lists have been applied. Until
// then, and while the API server cannot be reached, the tree on disk remains enforced.
package node
