package tree

import "math/bits"

// An address table is a hash table with open addressing: slots of address and
// value, as many as a power of two, at most four fifths of them used. An
// address lies in the first free slot at or behind the one its hash names; a
// value of 0 marks a free slot and ends the search.
const (
	slotWords4 = 2 // address, value
	slotWords6 = 5 // four words of address, value
	minSlots   = 8
)

// hash4 spreads IPv4 addresses over 32 bits (lowbias32 by Chris Wellons).
func hash4(a uint32) uint32 {
	a ^= a >> 16
	a *= 0x7feb352d
	a ^= a >> 15
	a *= 0x846ca68b
	return a ^ a>>16
}

// hash6 spreads IPv6 addresses over 32 bits.
func hash6(a address) uint32 {
	high, low := bits.Mul64(a.hi^0x9e3779b97f4a7c15, a.lo^0xd1b54a32d192ed03)
	x := (high ^ low ^ a.lo) * 0xda942042e4dd58b5
	return uint32(x >> 32)
}

// find4 looks up an IPv4 address in a table of 1<<(32-shift) slots.
func find4(table []uint32, shift uint8, a uint32) uint32 {
	mask := uint32(len(table)/slotWords4 - 1)
	for i := hash4(a) >> (shift & 31); ; i = (i + 1) & mask {
		slot := table[i*slotWords4:]
		if len(slot) < slotWords4 || slot[1] == 0 {
			return 0
		}
		if slot[0] == a {
			return slot[1]
		}
	}
}

// find6 looks up an IPv6 address in a table of 1<<(32-shift) slots.
func find6(table []uint32, shift uint8, a address) uint32 {
	mask := uint32(len(table)/slotWords6 - 1)
	for i := hash6(a) >> (shift & 31); ; i = (i + 1) & mask {
		slot := table[i*slotWords6:]
		if len(slot) < slotWords6 || slot[4] == 0 {
			return 0
		}
		if addressFrom(slot) == a {
			return slot[4]
		}
	}
}

// shiftOf is what turns a 32-bit hash into the number of a slot.
func shiftOf(slots int) uint8 { return uint8(33 - bits.Len(uint(slots))) }

// addressTable is an address table that is being kept up to date.
type addressTable struct {
	is4   bool
	width int
	words []uint32
	shift uint8
	used  int
}

func newAddressTable(is4 bool) addressTable {
	t := addressTable{is4: is4, width: slotWords6}
	if is4 {
		t.width = slotWords4
	}
	t.make(minSlots)
	return t
}

func (t *addressTable) make(slots int) {
	t.words = make([]uint32, slots*t.width)
	t.shift = shiftOf(slots)
}

func (t *addressTable) slots() int { return len(t.words) / t.width }

func (t *addressTable) slot(i int) []uint32 { return t.words[i*t.width : (i+1)*t.width] }

func (t *addressTable) home(a address) int {
	if t.is4 {
		return int(hash4(uint32(a.lo)) >> t.shift)
	}
	return int(hash6(a) >> t.shift)
}

// at gives the address in a slot.
func (t *addressTable) at(i int) address {
	s := t.slot(i)
	if t.is4 {
		return address{lo: uint64(s[0])}
	}
	return addressFrom(s)
}

// find gives the slot of an address, or the free one where it would lie.
func (t *addressTable) find(a address) (i int, found bool) {
	mask := t.slots() - 1
	for i = t.home(a); ; i = (i + 1) & mask {
		if t.slot(i)[t.width-1] == 0 {
			return i, false
		}
		if t.at(i) == a {
			return i, true
		}
	}
}

func (t *addressTable) get(a address) uint32 {
	i, _ := t.find(a)
	return t.slot(i)[t.width-1]
}

// set gives an address a value, 0 for none.
func (t *addressTable) set(a address, value uint32) {
	i, found := t.find(a)
	switch {
	case value == 0 && !found:
		return
	case value == 0:
		t.remove(i)
		return
	case !found:
		if (t.used+1)*5 > t.slots()*4 {
			t.resize(t.slots() * 2)
			i, _ = t.find(a)
		}
		t.used++
	}
	t.put(i, a, value)
}

// reserve makes room for n more addresses.
func (t *addressTable) reserve(n int) {
	slots := t.slots()
	for (t.used+n)*5 > slots*4 {
		slots *= 2
	}
	if slots != t.slots() {
		t.resize(slots)
	}
}

func (t *addressTable) put(i int, a address, value uint32) {
	s, w := t.slot(i), a.words()
	if t.is4 {
		s[0], s[1] = w[3], value
		return
	}
	copy(s, w[:])
	s[4] = value
}

// remove frees a slot and moves those behind it up, so that no search ends
// before its address.
func (t *addressTable) remove(i int) {
	mask := t.slots() - 1
	for j := (i + 1) & mask; t.slot(j)[t.width-1] != 0; j = (j + 1) & mask {
		// The address at j may lie at i iff that is not before its home.
		if home := t.home(t.at(j)); (j-home)&mask >= (j-i)&mask {
			copy(t.slot(i), t.slot(j))
			i = j
		}
	}
	clear(t.slot(i))
	t.used--
	if t.slots() > minSlots && t.used*8 < t.slots() {
		t.resize(t.slots() / 2)
	}
}

func (t *addressTable) resize(slots int) {
	old := *t
	t.make(slots)
	for i := range old.slots() {
		if s := old.slot(i); s[t.width-1] != 0 {
			free, _ := t.find(old.at(i))
			copy(t.slot(free), s)
		}
	}
}
