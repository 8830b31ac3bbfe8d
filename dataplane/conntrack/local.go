package conntrack

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
)

// localAddresses contains the addresses that match the nftables expression `fib saddr type
// local`. These are the destinations of all routes of type local: 127.0.0.0/8, the node's
// addresses, and the gateway addresses on the node's ends of the links to pods.
type localAddresses struct {
	socket   *netlink.Socket
	buffer   []byte
	hosts    map[netip.Addr]struct{}
	prefixes []netip.Prefix
}

func openLocalAddresses() (*localAddresses, error) {
	socket, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	// With this option, the kernel returns only routes of the requested table. Without it, the
	// kernel returns all routes of the node, which can be thousands. Linux before 4.20 does not
	// support this option. In this case, addRoute ignores the additional routes.
	_ = socket.SetOption(unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return &localAddresses{socket: socket, buffer: make([]byte, receiveSize)}, nil
}

func (l *localAddresses) close() error { return l.socket.Close() }

func (l *localAddresses) contains(a netip.Addr) bool {
	if _, ok := l.hosts[a]; ok {
		return true
	}
	for _, p := range l.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// read replaces the stored addresses with the current addresses.
func (l *localAddresses) read() error {
	l.hosts, l.prefixes = map[netip.Addr]struct{}{}, nil
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := l.socket.Send(localRoutesRequest(family)); err != nil {
			return fmt.Errorf("listing local addresses: %w", err)
		}
		// Ignore ENOENT, which means that the table does not exist because it has never
		// contained a route.
		if err := l.socket.Dump(l.buffer, l.addRoute); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("listing local addresses: %w", err)
		}
	}
	return nil
}

// Offsets of fields in struct rtmsg, which is defined in include/uapi/linux/rtnetlink.h.
const (
	rtmFamily            = 0
	rtmDestinationLength = 1
	rtmTable             = 4
	rtmType              = 7
)

// localRoutesRequest returns a request for the routes of one family in the routing table with
// the name "local".
func localRoutesRequest(family byte) []byte {
	var message [unix.SizeofRtMsg]byte
	message[rtmFamily], message[rtmTable] = family, unix.RT_TABLE_LOCAL
	b := netlink.Begin(nil, netlink.Header{Type: unix.RTM_GETROUTE, Flags: unix.NLM_F_REQUEST | unix.NLM_F_DUMP})
	return netlink.End(append(b, message[:]...), 0)
}

func (l *localAddresses) addRoute(h netlink.Header, data []byte) error {
	if h.Type != unix.RTM_NEWROUTE || len(data) < unix.SizeofRtMsg || data[rtmType] != unix.RTN_LOCAL {
		return nil
	}
	bits := int(data[rtmDestinationLength])
	// A route without a destination attribute is a route to 0.0.0.0/0 or ::/0.
	address := netip.IPv4Unspecified()
	if data[rtmFamily] == unix.AF_INET6 {
		address = netip.IPv6Unspecified()
	}
	attributes := netlink.ReadAttributes(data[unix.SizeofRtMsg:])
	for attributes.Next() {
		if destination, ok := netip.AddrFromSlice(attributes.Value); ok && attributes.Type == unix.RTA_DST {
			address = destination
		}
	}
	if err := attributes.Err(); err != nil {
		return err
	}
	if bits == address.BitLen() {
		l.hosts[address] = struct{}{}
		return nil
	}
	l.prefixes = append(l.prefixes, netip.PrefixFrom(address, bits))
	return nil
}
