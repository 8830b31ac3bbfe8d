// Package compile turns a policy.Snapshot into the rules of one node, and updates these rules
// when the snapshot changes. Like package policy, it performs no I/O, so the same objects
// always result in the same rules.
//
// # Incremental updates
//
// A compiler matches selectors against cohorts instead of pods. It uses only the peers of
// policies that select a pod on its node. If exactly the same peers match several cohorts,
// these cohorts are in one class. The leaves of a tree contain classes instead of peers. So if
// the labels of a pod change, the compiler matches the peers against only one cohort. It
// compiles a program again only if one of the program's peers gains or loses a class.
package compile
