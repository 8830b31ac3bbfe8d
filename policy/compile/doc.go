// Package compile turns a policy.Snapshot into the rules of one node, and keeps
// them up to date change by change. Like package policy, it does no I/O: the
// same objects result in the same rules.
//
// # How the work is kept small
//
// Selectors are matched against cohorts instead of pods. Of the peers that
// policies name, only those of policies that select a local pod are used on a
// node. The set of used peers that match a cohort is its class, and a leaf of
// the tree only knows classes. So a changed label of a pod costs the matching of
// one cohort, and a program is written again only if one of its peers gains or
// loses a class.
package compile
