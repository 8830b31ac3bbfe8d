package report

import "net/netip"

// Connection is an open connection. The addresses and ports are those for which policies are
// evaluated: the original direction, after DNAT.
type Connection struct {
	// Verdict is Allow if policies apply to the connection and allow it. It is empty if no policy
	// applies to it.
	Verdict  string     `json:"verdict,omitempty"`
	Protocol string     `json:"protocol"`
	Src      netip.Addr `json:"src"`
	Dst      netip.Addr `json:"dst"`
	// SrcPort and DstPort are 0 if the protocol has no ports.
	SrcPort uint16 `json:"srcPort,omitzero"`
	DstPort uint16 `json:"dstPort,omitzero"`
	// MidStream is true if connection tracking picked up a TCP connection without seeing its start.
	// The source and the destination can then be reversed. ToNode is true if, in addition, the
	// destination is an address of the node itself.
	MidStream bool `json:"midStream,omitempty"`
	ToNode    bool `json:"toNode,omitempty"`
}
