// Package netpol tests what NetworkPolicies do in a cluster: a real API server,
// three nodes with agent and dataplane, and pods spread over them. Each scenario
// has namespaces of its own with nine pods, and after each of its steps every
// connection from everybody to everybody is opened and compared with the
// reference judge, and the cells that the scenario is about with what is written
// down by hand.
package netpol
