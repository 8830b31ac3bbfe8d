// Package liveness reports whether the agents of the nodes respond. Each agent renews a Lease
// every 12 to 15 seconds. The package observes when the Leases change, and sets the condition
// Responding of a NodeEnforcer when the agent becomes silent or responds again.
//
// The package measures times only with the clock of the operator, and reads no time from a
// Lease. The clocks of nodes may therefore be wrong. An operator that has just started does not
// have the times of earlier changes: it leaves a condition unchanged until the Lease changes,
// or until the Lease has not changed for v1alpha1.HeartbeatTimeout.
package liveness
