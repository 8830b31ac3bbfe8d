// Package policy knows what Kubernetes NetworkPolicy means.
//
// A Snapshot holds the objects that matter: namespaces, pods, nodes and
// policies. A Compiler follows a snapshot and says, in the terms of package
// rule, what the policies mean on one node. The package is pure: no client, no
// clock, no I/O; the same objects give the same rules.
//
// # How work is kept small
//
// Pods of one namespace with equal labels and ports are a cohort: no selector
// can tell them apart, so selectors are matched against cohorts. Of the peers
// that rules name, only those in rules of policies that select a local pod are
// in use on a node. The set of used peers that match a cohort is its class; a
// leaf of the tree knows classes only. So a pod whose labels change costs the
// matching of one cohort, and programs are derived again only when a class
// appears or vanishes under one of their peers.
package policy
