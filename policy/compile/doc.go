// Package compile turns a policy.Snapshot into the rules of one node, and updates these
// rules when the snapshot changes. Like package policy, it performs no I/O, so the same
// objects result in the same rules.
//
// # Incremental updates
//
// A compiler matches selectors against cohorts instead of pods. It uses only the peers in
// policies that select a pod of its node. The set of used peers that match a cohort
// determines the class of the cohort, and the leaves of a tree contain classes instead of
// peers. So if the labels of a pod change, the compiler matches only one cohort again. It
// writes a program again only if one of the program's peers gains or loses a class.
package compile
