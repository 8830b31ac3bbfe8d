// Package diff compares what policies allow before and after a change of objects, without enforcing
// anything. It compiles both states into trees, evaluates representative flows with both trees, and
// reports which workloads gain or lose which ports, and because of which rule of which policy.
//
// The result is exact, because both verdicts depend on a flow only through a few properties: the
// programs of the pod, the class of the peer, the interval of addresses in which the peer is, and
// the interval of ports in which the destination port is. Package diff evaluates one flow for each
// combination of these properties that the change can affect.
//
// Two kinds of flows are not compared: flows from a pod's own node, which are always allowed, and
// flows from a pod to itself.
package diff
