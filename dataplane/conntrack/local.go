package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// localAddresses is what `fib saddr type local` says in a rule: the routes of
// type local, such as 127.0.0.0/8, the node's addresses, and the gateway
// addresses at the node's ends of its pods' links.
type localAddresses struct {
	fd       int
	buffer   []byte
	hosts    map[netip.Addr]struct{}
	prefixes []netip.Prefix
}

func openLocalAddresses() (*localAddresses, error) {
	fd, err := openSocket(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	// With it the kernel sends the one table that is asked for, not a node's
	// thousands of routes. Linux before 4.20 sends all.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return &localAddresses{fd: fd, buffer: make([]byte, receiveSize)}, nil
}

func (l *localAddresses) close() error { return unix.Close(l.fd) }

func (l *localAddresses) has(a netip.Addr) bool {
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

// read takes the addresses of now.
func (l *localAddresses) read() error {
	l.hosts, l.prefixes = map[netip.Addr]struct{}{}, nil
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		request := make([]byte, headerSize+unix.SizeofRtMsg)
		binary.NativeEndian.PutUint32(request, uint32(len(request)))
		binary.NativeEndian.PutUint16(request[4:], unix.RTM_GETROUTE)
		binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
		request[headerSize] = family
		request[headerSize+rtmTable] = unix.RT_TABLE_LOCAL
		if err := send(l.fd, request); err != nil {
			return fmt.Errorf("listing local addresses: %w", err)
		}
		// Without any address there is no such table.
		if err := eachMessage(l.fd, l.buffer, l.addRoute); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("listing local addresses: %w", err)
		}
	}
	return nil
}

// Offsets in struct rtmsg of include/uapi/linux/rtnetlink.h.
const (
	rtmFamily            = 0
	rtmDestinationLength = 1
	rtmTable             = 4
	rtmType              = 7
)

func (l *localAddresses) addRoute(kind uint16, data []byte) error {
	if kind != unix.RTM_NEWROUTE || len(data) < unix.SizeofRtMsg || data[rtmType] != unix.RTN_LOCAL {
		return nil
	}
	bits := int(data[rtmDestinationLength])
	address := netip.IPv4Unspecified()
	if data[rtmFamily] == unix.AF_INET6 {
		address = netip.IPv6Unspecified()
	}
	err := eachAttribute(data[unix.SizeofRtMsg:], func(a attribute) error {
		if destination, ok := netip.AddrFromSlice(a.value); ok && a.kind == unix.RTA_DST {
			address = destination
		}
		return nil
	})
	if err != nil {
		return err
	}
	if bits == address.BitLen() {
		l.hosts[address] = struct{}{}
		return nil
	}
	l.prefixes = append(l.prefixes, netip.PrefixFrom(address, bits))
	return nil
}
