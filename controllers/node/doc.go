// Package node is the agent of one node: it compiles the NetworkPolicies, Pods,
// Namespaces and Nodes of the API server into the published tree of that node.
//
//	API server --watch--> caches --key--> reconcilers --object--> state --delta--> publisher --> tree/current
//
// Reconcilers are level-based: given a key, they read the object as the cache has
// it now and bring the state up to date, or remove the object from the state if it
// was deleted. The number and the order of the keys make no difference.
//
// The state is one policy.Snapshot behind one mutex. A reconciler reads an object
// and applies it while it holds the mutex, so an older version of an object never
// replaces a newer one. One goroutine owns the builder and the publisher. It holds
// the mutex only while it takes a delta.
//
// Nothing is published before all objects that the caches started with have been
// applied. Until then, and while the API server cannot be reached, the tree on disk
// remains enforced.
package node
