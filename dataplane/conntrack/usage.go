package conntrack

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

// Message type and attribute types of the statistics, which are defined in
// include/uapi/linux/netfilter/nfnetlink_conntrack.h.
const (
	messageStats = subsystem<<8 | 5 // IPCTNL_MSG_CT_GET_STATS

	attrStatsEntries    = 1
	attrStatsMaxEntries = 2
)

// Usage reads how full the connection tracking table of a network namespace is. It is safe for
// concurrent use.
type Usage struct {
	mu     sync.Mutex
	socket *netlink.Socket
}

// OpenUsage opens the connection tracking table of the calling thread's network namespace.
func OpenUsage() (*Usage, error) {
	socket, err := netlink.Open(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	return &Usage{socket: socket}, nil
}

// Close closes the socket.
func (u *Usage) Close() error { return u.socket.Close() }

// Read returns the number of entries and the maximum number of entries. The kernel counts the
// entries of each network namespace separately. The maximum is the sysctl
// net.netfilter.nf_conntrack_max, which is the same for all network namespaces. The maximum is 0 if
// there is no limit. It is also 0 on kernels before Linux 4.18, which do not report it.
func (u *Usage) Read() (entries, maximum uint32, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.socket.SetDeadline(time.Now().Add(receiveTimeout)); err != nil {
		return 0, 0, fmt.Errorf("reading the size of the conntrack table: %w", err)
	}
	// Because of the flag NLM_F_ACK, the kernel sends an acknowledgement after the statistics. Dump
	// reads until this acknowledgement.
	b := netlink.Begin(nil, netlink.Header{Type: messageStats, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK})
	err = u.socket.Send(netlink.End(netlink.AppendNetfilterHeader(b, unix.AF_UNSPEC), 0))
	if err == nil {
		err = u.socket.Dump(make([]byte, unix.Getpagesize()), func(_ netlink.Header, payload []byte) error {
			entries, maximum, err = parseStats(payload)
			return err
		})
	}
	if err != nil {
		return 0, 0, fmt.Errorf("reading the size of the conntrack table: %w", err)
	}
	return entries, maximum, nil
}

func parseStats(payload []byte) (entries, maximum uint32, err error) {
	if len(payload) < netlink.NetfilterHeaderSize {
		return 0, 0, netlink.ErrMalformed
	}
	attributes := netlink.ReadAttributes(payload[netlink.NetfilterHeaderSize:])
	for attributes.Next() {
		switch attributes.Type {
		case attrStatsEntries:
			entries = attributes.Uint32()
		case attrStatsMaxEntries:
			maximum = attributes.Uint32()
		}
	}
	return entries, maximum, attributes.Err()
}
