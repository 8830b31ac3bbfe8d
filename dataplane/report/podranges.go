package report

import "net/netip"

// PodRanges lists the networks in which pods have their addresses. The lists are empty if
// the ranges are not known.
type PodRanges struct {
	// Cluster contains the ranges of all nodes. Node contains the ranges of this node.
	Cluster []netip.Prefix `json:"cluster"`
	Node    []netip.Prefix `json:"node"`
}
