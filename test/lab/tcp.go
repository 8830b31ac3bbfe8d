package lab

import (
	"encoding/binary"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Flags of a TCP packet (RFC 9293, section 3.1).
const (
	SYN byte = 0x02
	ACK byte = 0x10
)

// SendTCP sends a single TCP packet that belongs to no connection. The sequence
// numbers and the other fields apart from ports and flags have arbitrary values.
// The host must have the address of src.
func (h *Host) SendTCP(src, dst netip.AddrPort, flags byte) error {
	const header, window = 20, 1 << 12
	b := binary.BigEndian.AppendUint16(nil, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = append(b, 0, 0, 1, 0, 0, 0, 2, 0, header/4<<4, flags)
	b = binary.BigEndian.AppendUint16(b, window)
	b = append(b, 0, 0, 0, 0)
	pseudo := append(src.Addr().AsSlice(), dst.Addr().AsSlice()...)
	pseudo = append(pseudo, 0, byte(flow.TCP), 0, header)
	binary.BigEndian.PutUint16(b[16:], checksum(pseudo, b))
	return h.SendRaw(flow.TCP, dst.Addr(), b)
}

// checksum returns the Internet checksum (RFC 1071) of the parts. Each part must
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
