// Package netpol tests NetworkPolicies in a cluster: a real API server, and three
// nodes with agent, dataplane and pods. Each scenario has its own namespaces with
// nine pods. After each step of a scenario, the test opens every connection between
// all pods. It compares the results with test/reference, and the results that the
// scenario is about with expectations that were written by hand.
package netpol
