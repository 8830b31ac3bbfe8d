package format

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Address is an IP address as a 128-bit number. For an IPv4 address, Hi is 0.
type Address struct{ Hi, Lo uint64 }

// AddressOf converts an address to a number.
func AddressOf(a netip.Addr) Address {
	if a.Is4() {
		b := a.As4()
		return Address{Lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return Address{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}

// Addr converts an address back to a netip.Addr. It is the inverse of AddressOf.
func (a Address) Addr(is4 bool) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	if is4 {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}

// Compare returns -1 if a is less than b, 0 if both are equal, and 1 if a is greater than
// b.
func (a Address) Compare(b Address) int {
	if c := cmp.Compare(a.Hi, b.Hi); c != 0 {
		return c
	}
	return cmp.Compare(a.Lo, b.Lo)
}

// Words returns the address in the encoding of a tree: four words, the most significant word
// first.
func (a Address) Words() [4]uint32 {
	return [4]uint32{uint32(a.Hi >> 32), uint32(a.Hi), uint32(a.Lo >> 32), uint32(a.Lo)}
}

// AddressFrom converts four words back to an address. It is the inverse of Words.
func AddressFrom(w []uint32) Address {
	_ = w[3]
	return Address{Hi: uint64(w[0])<<32 | uint64(w[1]), Lo: uint64(w[2])<<32 | uint64(w[3])}
}

// Hash4 hashes an IPv4 address to 32 bits (lowbias32 by Chris Wellons).
func Hash4(a uint32) uint32 {
	a ^= a >> 16
	a *= 0x7feb352d
	a ^= a >> 15
	a *= 0x846ca68b
	return a ^ a>>16
}

// Hash6 hashes an IPv6 address to 32 bits.
func Hash6(a Address) uint32 {
	high, low := bits.Mul64(a.Hi^0x9e3779b97f4a7c15, a.Lo^0xd1b54a32d192ed03)
	x := (high ^ low ^ a.Lo) * 0xda942042e4dd58b5
	return uint32(x >> 32)
}

// Shift returns a shift distance for a table with the given number of slots. A 32-bit hash,
// shifted right by this number of bits, is the index of a slot.
func Shift(slots int) uint8 { return uint8(33 - bits.Len(uint(slots))) }

// PortTable returns the index of the port table for a protocol, for example PortsTCP.
func PortTable(p flow.Protocol) int {
	switch p {
	case flow.TCP:
		return PortsTCP
	case flow.UDP:
		return PortsUDP
	case flow.SCTP:
		return PortsSCTP
	default:
		return PortsOther
	}
}
