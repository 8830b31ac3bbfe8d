package lab

import (
	"encoding/binary"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// These constants are flags of a TCP packet (RFC 9293, section 3.1).
const (
	SYN byte = 0x02
	ACK byte = 0x10
)

// SendTCP sends a single TCP packet without opening a connection. The caller sets the ports and
// the flags. All other fields of the TCP header have arbitrary values. The host must have the
// address of src.
func (h *Host) SendTCP(src, dst netip.AddrPort, flags byte) error {
	return h.SendRaw(flow.TCP, dst.Addr(), segment(src, dst, flags))
}

// checksum returns the Internet checksum (RFC 1071) of the concatenated parts. Each part must
// have an even length.
func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, part := range parts {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
