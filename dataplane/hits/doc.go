// Package hits counts how often each rule of a tree decides the first packet of a flow.
//
// Each worker has its own lane of counters, so that workers never write to the same cache line. A
// lane is an array that is indexed by the slot of a rule. A rule keeps its slot when a new tree
// replaces the tree in use, as long as its fingerprint stays the same. So no count is copied or lost
// while workers evaluate packets:
//
//	rule.Decision --Table--> slot --Lane--> counter
//
// Counters assigns the slots. For each tree, it creates a Table, which maps the rules of this tree
// to slots. When a rule leaves the tree, its counter is retained for a limited number of further
// rules, because the rule returns when the node runs a selected pod again.
//
// # Counted packets
//
// A worker counts each packet for which it returns the verdict allow or deny:
//
//   - A side that a rule decided counts for this rule.
//   - A side that was denied because no rule matched counts once for each NetworkPolicy that isolates
//     the pod.
//   - A rule with the action Pass counts when it passes a flow to the next tier.
//
// If the egress side is denied, the ingress side does not count, because the packet never reaches
// the other pod. So the counts do not depend on whether both pods run on the same node.
//
// The following packets are not counted: packets that the kernel accepts because of the mark of
// their connection, packets of pods in a direction in which no policy can deny a flow, packets that
// the failure policy accepts or drops, and packets that may be replies of a connection that is
// missing from the conntrack table. The re-evaluation of open connections counts nothing. A dropped
// packet leaves no connection, so each repetition of a denied packet counts again.
package hits
