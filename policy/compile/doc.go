// Package compile turns a policy.Snapshot into the rules of one node, and updates these rules
// when the snapshot changes. Like package policy, it performs no I/O, so the same objects
// always result in the same rules.
//
// # Incremental updates
//
// All pods with the same namespace and labels form a cohort. A compiler matches selectors against
// cohorts instead of pods, so if the labels of a pod change, it matches the peers against only one
// cohort. It uses only the peers of policies that select a pod on its node.
//
// Cohorts that exactly the same peers match form a class. The programs in a tree, which are the
// compiled rules, contain classes instead of peers. So the compiler compiles a program again only if
// one of the program's peers gains or loses a class.
package compile
