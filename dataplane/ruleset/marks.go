package ruleset

import (
	"fmt"
	"math/bits"
)

// DefaultMask is a pair of bits that, to our knowledge, no other component uses in
// packet marks or connection marks.
const DefaultMask uint32 = 0x60

// Marks are the values of Sluice's two bits in the packet mark and in the
// connection mark. All other bits belong to other programs.
//
// In a packet mark, the bits carry a worker's verdict from the queue to the next
// chain. In a connection mark, they store the verdict for the connection. If both
// bits are clear, there is no verdict.
type Marks struct {
	// Mask is both bits.
	Mask uint32
	// Accepted is the lower bit. The flow is allowed in its original direction.
	Accepted uint32
	// Denied is the higher bit. The flow is denied.
	Denied uint32
	// Either is both bits. Connection tracking picked the TCP connection up without
	// its start, and the flow is allowed in at least one of its two orientations.
	// The connection may continue, but a new SYN does not use this verdict.
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

// Of returns our bits of a mark.
func (m Marks) Of(mark uint32) uint32 { return mark & m.Mask }

// Set returns a mark with our bits replaced and all other bits unchanged.
func (m Marks) Set(mark, state uint32) uint32 { return mark&^m.Mask | state&m.Mask }
