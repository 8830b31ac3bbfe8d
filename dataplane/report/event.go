package report

import (
	"net/netip"
	"time"
)

// PacketVerdict is the verdict for one packet.
type PacketVerdict string

// The verdicts for a packet.
const (
	Allow PacketVerdict = "Allow"
	Deny  PacketVerdict = "Deny"
	// MidStream is the verdict for a packet that the rules accept only if
	// connection tracking has its connection. See Stats.MidStream.
	MidStream PacketVerdict = "MidStream"
	// Unreadable is the verdict for a packet that could not be decoded. It is
	// dropped.
	Unreadable PacketVerdict = "Unreadable"
)

// Event is the verdict for one packet.
type Event struct {
	Time    time.Time     `json:"time"`
	Verdict PacketVerdict `json:"verdict"`
	// Fault is the reason why the packet could not be decoded. If it is set, the
	// fields below are empty, except for Missed.
	Fault string `json:"fault,omitempty"`

	Protocol string     `json:"protocol,omitempty"`
	Src      netip.Addr `json:"src,omitzero"`
	Dst      netip.Addr `json:"dst,omitzero"`
	// SrcPort and DstPort are 0 if the protocol has no ports.
	SrcPort uint16 `json:"srcPort,omitzero"`
	DstPort uint16 `json:"dstPort,omitzero"`
	// SrcPod and DstPod are the names of the ends, "namespace/name", if they are
	// pods of this node.
	SrcPod string `json:"srcPod,omitempty"`
	DstPod string `json:"dstPod,omitempty"`
	// Egress and Ingress are the sides that this node evaluated.
	Egress  *Side `json:"egress,omitempty"`
	Ingress *Side `json:"ingress,omitempty"`

	// Missed is an upper bound of the number of events that were lost to this
	// subscriber since the event before. It may count events that the subscriber
	// did not subscribe to.
	Missed uint64 `json:"missed,omitzero"`
}
