// Package compile turns a policy.Snapshot into the rules of one node, and keeps
// them up to date change by change. Like package policy, it does no I/O: the
// same objects result in the same rules.
//
// # How the work is kept small
//
// Selectors are matched against cohorts instead of pods. A compiler uses only the
// peers in policies that select a pod of its node. The set of used peers that
// match a cohort is the class of the cohort, and the leaves of a tree contain
// classes only. So if the labels of a pod change, one cohort is matched again. A
// program is written again only if one of its peers gains or loses a class.
package compile
