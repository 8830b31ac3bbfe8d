package report

import (
	"net/netip"
	"time"
)

// PacketVerdict is the verdict for one packet in an event.
type PacketVerdict string

// The possible verdicts for a packet.
const (
	Allow PacketVerdict = "Allow"
	Deny  PacketVerdict = "Deny"
	// MidStream means that the rules accept the packet only if the packet's connection is
	// in the conntrack table. See Stats.MidStream.
	MidStream PacketVerdict = "MidStream"
	// Unreadable means that the packet was dropped because it could not be decoded.
	Unreadable PacketVerdict = "Unreadable"
	// Unknown means that the failure policy was applied to the packet, because its source or
	// destination was an unknown pod.
	Unknown PacketVerdict = "Unknown"
)

// Event reports the verdict for one packet.
type Event struct {
	Time    time.Time     `json:"time"`
	Verdict PacketVerdict `json:"verdict"`
	// Fault is the reason why the packet could not be decoded. If Fault is set, all later
	// fields except Missed are empty.
	Fault string `json:"fault,omitempty"`

	Protocol string     `json:"protocol,omitempty"`
	Src      netip.Addr `json:"src,omitzero"`
	Dst      netip.Addr `json:"dst,omitzero"`
	// SrcPort and DstPort are 0 if the protocol has no ports.
	SrcPort uint16 `json:"srcPort,omitzero"`
	DstPort uint16 `json:"dstPort,omitzero"`
	// SrcPod and DstPod are the names of the source and destination pods, in the form
	// "namespace/name". A name is empty if the address does not belong to a pod of this
	// node.
	SrcPod string `json:"srcPod,omitempty"`
	DstPod string `json:"dstPod,omitempty"`
	// Egress and Ingress are the sides that this node evaluated. A side that this node did
	// not evaluate is nil.
	Egress  *Side `json:"egress,omitempty"`
	Ingress *Side `json:"ingress,omitempty"`

	// Held is the time for which the packet was held because its source or destination might be
	// an unknown pod. It is 0 for a packet that was not held.
	Held time.Duration `json:"heldNanoseconds,omitzero"`

	// Missed is an upper bound for the number of events that this subscriber lost since the
	// previous event. The number may include events of kinds that the subscriber did not
	// request.
	Missed uint64 `json:"missed,omitzero"`
}
