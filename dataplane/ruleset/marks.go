package ruleset

import (
	"fmt"
	"math/bits"
)

// DefaultMask selects two mark bits. To our knowledge, no other component uses these bits in
// packet marks or connection marks.
const DefaultMask uint32 = 0x60

// Marks defines the values of the two mark bits that Sluice uses in packet marks and in
// connection marks. All other bits belong to other programs.
//
// In a packet mark, the two bits carry a worker's verdict from the queue to the next chain. In
// a connection mark, the two bits store the verdict for the connection. For the mask 0x60,
// Accepted is 0x20, Denied is 0x40, and Either is 0x60. If both bits are 0, there is no
// verdict.
type Marks struct {
	// Mask selects both bits.
	Mask uint32
	// Accepted is the lower bit: the flow is allowed in its original direction.
	Accepted uint32
	// Denied is the higher bit: the flow is denied.
	Denied uint32
	// Either is both bits. In a connection mark, Either means two things: connection tracking
	// picked up a TCP connection in mid-stream, and policies allow a connection in at least one
	// direction. The connection may continue, but a new SYN is evaluated again. In the packet mark
	// of a packet from the hold queue, Either means that the packet has been released.
	Either uint32
}

// MarksOf returns the marks for a mask. The mask must have exactly two bits.
func MarksOf(mask uint32) (Marks, error) {
	if bits.OnesCount32(mask) != 2 {
		return Marks{}, fmt.Errorf("mark mask %#x has %d bits: want exactly two, as in %#x", mask, bits.OnesCount32(mask), DefaultMask)
	}
	low := mask & -mask
	return Marks{Mask: mask, Accepted: low, Denied: mask &^ low, Either: mask}, nil
}

// Of returns the values of Sluice's two bits in a mark.
func (m Marks) Of(mark uint32) uint32 { return mark & m.Mask }

// Set returns `mark` with Sluice's two bits replaced by the bits of `state`. It does not change
// other bits.
func (m Marks) Set(mark, state uint32) uint32 { return mark&^m.Mask | state&m.Mask }

// From returns the mark of m that has the same meaning as the given mark of `other`. For example,
// it converts other.Denied to m.Denied.
func (m Marks) From(other Marks, mark uint32) uint32 {
	switch other.Of(mark) {
	case 0:
		return 0
	case other.Accepted:
		return m.Accepted
	case other.Denied:
		return m.Denied
	default:
		return m.Either
	}
}
