// Package lint finds policies that the API server accepts but that probably do not do what their
// authors meant. Each check is in its own file in one of the internal packages text, peers, ports,
// resolve and tiers. The internal package check contains what all checks share. The variable
// `checks` lists all checks. hack/refdocs generates docs/reference/lint.md from this
// variable.
//
// The checks read each policy as a value of type policy.Policy, and never read a NetworkPolicy
// object. Like package policy, this package performs no I/O.
package lint
