// Package node is the agent of one node: it turns the API server's
// NetworkPolicies, Pods, Namespaces and Nodes into that node's published tree.
//
//	API server --watch--> caches --key--> reconcilers --state--> world --delta--> publisher --> DIR/tree/current
//
// Reconcilers are level-based: given a key they read the object as the cache
// has it now and bring the world to that state, or forget the object when it is
// gone. How often or in which order keys come makes no difference.
//
// The world is one policy.Snapshot behind one mutex. Whoever holds it reads an
// object and applies it in one step, so a state that was read earlier never
// replaces one that was read later. Builder and publisher belong to the one
// goroutine that publishes, which holds the mutex only while it takes a delta.
//
// Nothing is published before every object that the caches began with has been
// applied. Until then, and whenever the API server is away, the tree on disk
// stays in force.
package node
