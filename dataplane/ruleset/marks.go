package ruleset

import (
	"fmt"
	"math/bits"
)

// DefaultMask is a pair of bits that no other component known to us uses in
// packet marks or connection marks.
const DefaultMask uint32 = 0x60

// Marks are Sluice's two bits of the packet mark and of the connection mark,
// and what they mean. All other bits belong to others.
//
// In a packet mark they carry a worker's verdict from the queue to the next
// chain. In a connection mark they are the connection's verdict. Both bits clear
// means not judged.
type Marks struct {
	// Mask is both bits.
	Mask uint32
	// Accepted is the lower bit: the flow's original direction is allowed.
	Accepted uint32
	// Denied is the higher bit.
	Denied uint32
	// Either is both bits: a TCP connection that was found in the middle of its
	// life, whose flow is allowed in at least one of its two orientations. It may
	// go on; it cannot be opened anew.
	Either uint32
}

// MarksOf splits a mask of exactly two bits.
func MarksOf(mask uint32) (Marks, error) {
	if bits.OnesCount32(mask) != 2 {
		return Marks{}, fmt.Errorf("mark mask %#x has %d bits: want exactly two, as in %#x", mask, bits.OnesCount32(mask), DefaultMask)
	}
	low := mask & -mask
	return Marks{Mask: mask, Accepted: low, Denied: mask &^ low, Either: mask}, nil
}

// Of gives our bits of a mark.
func (m Marks) Of(mark uint32) uint32 { return mark & m.Mask }

// Set gives a mark with our bits replaced and all others as they were.
func (m Marks) Set(mark, state uint32) uint32 { return mark&^m.Mask | state&m.Mask }
