package report

// Conntrack describes how full the connection tracking table of the node is. While the table is
// full, the kernel drops the first packets of new connections.
type Conntrack struct {
	// Entries is the number of entries in the network namespace of the node. Max is the maximum
	// number, the sysctl net.netfilter.nf_conntrack_max. Max is 0 if there is no limit.
	Entries uint32 `json:"entries"`
	Max     uint32 `json:"max"`
}
