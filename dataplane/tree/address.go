package tree

import (
	"cmp"
	"encoding/binary"
	"net/netip"
)

// address is an IP address as a number: an IPv4 address has hi 0.
type address struct{ hi, lo uint64 }

func addressOf(a netip.Addr) address {
	if a.Is4() {
		b := a.As4()
		return address{lo: uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return address{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
}

// addr is the inverse of addressOf.
func (a address) addr(is4 bool) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	if is4 {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}

func (a address) compare(b address) int {
	if c := cmp.Compare(a.hi, b.hi); c != 0 {
		return c
	}
	return cmp.Compare(a.lo, b.lo)
}

// words gives the address as it stands in a tree, the high word first.
func (a address) words() [4]uint32 {
	return [4]uint32{uint32(a.hi >> 32), uint32(a.hi), uint32(a.lo >> 32), uint32(a.lo)}
}

func addressFrom(w []uint32) address {
	_ = w[3]
	return address{hi: uint64(w[0])<<32 | uint64(w[1]), lo: uint64(w[2])<<32 | uint64(w[3])}
}

// next gives the address behind, of the family, or false behind the last one.
func (a address) next(is4 bool) (address, bool) {
	if is4 {
		return address{lo: a.lo + 1}, a.lo < 1<<32-1
	}
	if a.lo++; a.lo == 0 {
		a.hi++
	}
	return a, a != address{}
}

// last gives the last address of a masked prefix.
func last(p netip.Prefix) address {
	a := addressOf(p.Addr())
	hosts := p.Addr().BitLen() - p.Bits()
	if hosts > 64 {
		a.hi |= 1<<(hosts-64) - 1
		hosts = 64
	}
	a.lo |= 1<<hosts - 1
	return a
}
