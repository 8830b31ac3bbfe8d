// Package netpol tests NetworkPolicies in a cluster with a real API server and three
// nodes, each with an agent, a dataplane and pods. Each scenario creates its own
// namespaces and nine pods. After each step of a scenario, the test opens every
// connection between these pods. It compares all results with the evaluator in
// test/reference. In addition, each scenario contains expectations, written by hand,
// for the connections that the scenario is about.
package netpol
