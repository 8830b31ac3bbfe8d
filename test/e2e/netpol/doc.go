// Package netpol tests NetworkPolicies in a cluster with a real API server and three nodes.
// Each node runs an agent, a dataplane and pods. Each scenario creates its own namespaces and
// nine pods. After each step of a scenario, the test opens every connection between these pods,
// and compares the results with the verdicts of the evaluator in test/reference. Each scenario
// also contains handwritten expectations for its most important connections.
package netpol
