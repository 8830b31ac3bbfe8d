package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Tag is a VLAN tag of an Ethernet frame.
type Tag struct {
	// Type is unix.ETH_P_8021Q or unix.ETH_P_8021AD.
	Type uint16
	// ID is the VLAN ID. A frame with ID 0 does not belong to any VLAN.
	ID uint16
}

// SendFrame sends an Ethernet frame with an IP packet through an interface (packet(7)). The
// kernel of this host neither routes nor filters the packet, so the packet can have any
// addresses. The first of the tags is the outermost tag of the frame.
func (h *Host) SendFrame(link string, to net.HardwareAddr, packet []byte, tags ...Tag) error {
	err := h.Do(func() error {
		out, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		defer func() { _ = unix.Close(fd) }()
		from := out.HardwareAddr
		if from == nil {
			from = make(net.HardwareAddr, len(to))
		}
		return os.NewSyscallError("sendto", unix.Sendto(fd, frame(to, from, packet, tags), 0, &unix.SockaddrLinklayer{Ifindex: out.Index}))
	})
	if err != nil {
		return fmt.Errorf("sending a frame from %s: %w", h.name, err)
	}
	return nil
}

func frame(to, from net.HardwareAddr, packet []byte, tags []Tag) []byte {
	b := slices.Concat(to, from)
	for _, tag := range tags {
		b = binary.BigEndian.AppendUint16(b, tag.Type)
		b = binary.BigEndian.AppendUint16(b, tag.ID)
	}
	kind := uint16(unix.ETH_P_IP)
	if packet[0]>>4 == 6 {
		kind = unix.ETH_P_IPV6
	}
	return append(binary.BigEndian.AppendUint16(b, kind), packet...)
}

// Datagram returns an IP packet that contains a UDP datagram.
func Datagram(src, dst netip.AddrPort, payload []byte) []byte {
	const header = 8
	b := binary.BigEndian.AppendUint16(nil, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint16(b, header+uint16(len(payload)))
	b = append(b, 0, 0)
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[6:], transportChecksum(flow.UDP, src.Addr(), dst.Addr(), b))
	return packet(flow.UDP, src.Addr(), dst.Addr(), b)
}

// Segment returns an IP packet that contains a TCP segment. The segment belongs to no
// connection. The parameters set the ports and the flags. All other fields, such as the
// sequence numbers, have arbitrary values.
func Segment(src, dst netip.AddrPort, flags byte) []byte {
	return packet(flow.TCP, src.Addr(), dst.Addr(), segment(src, dst, flags))
}

// segment returns a TCP segment without an IP header.
func segment(src, dst netip.AddrPort, flags byte) []byte {
	const header, window = 20, 1 << 12
	b := binary.BigEndian.AppendUint16(nil, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = append(b, 0, 0, 1, 0, 0, 0, 2, 0, header/4<<4, flags)
	b = binary.BigEndian.AppendUint16(b, window)
	b = append(b, 0, 0, 0, 0)
	binary.BigEndian.PutUint16(b[16:], transportChecksum(flow.TCP, src.Addr(), dst.Addr(), b))
	return b
}

// packet adds an IP header to the content of a packet.
func packet(protocol flow.Protocol, src, dst netip.Addr, content []byte) []byte {
	const hops, header4 = 64, 20
	var b []byte
	if src.Is4() {
		b = binary.BigEndian.AppendUint16([]byte{0x45, 0}, header4+uint16(len(content)))
		b = append(b, 0, 0, 0, 0, hops, byte(protocol), 0, 0)
	} else {
		b = binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(content)))
		b = append(b, byte(protocol), hops)
	}
	b = slices.Concat(b, src.AsSlice(), dst.AsSlice())
	if src.Is4() {
		binary.BigEndian.PutUint16(b[10:], checksum(b))
	}
	return append(b, content...)
}

// transportChecksum returns the checksum of a UDP datagram or TCP segment. This checksum also
// covers the addresses and the protocol number (RFC 9293, section 3.1).
func transportChecksum(protocol flow.Protocol, src, dst netip.Addr, content []byte) uint16 {
	pseudo := slices.Concat(src.AsSlice(), dst.AsSlice(), []byte{0, byte(protocol)})
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(content)))
	if len(content)%2 != 0 {
		content = append(slices.Clone(content), 0)
	}
	return checksum(pseudo, content)
}
