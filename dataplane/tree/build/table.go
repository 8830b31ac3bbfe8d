package build

import "github.com/sluicenet/sluice/dataplane/tree/internal/format"

// addressTable is the address table of one family, encoded as in a tree file.
type addressTable struct {
	is4   bool
	width int
	words []uint32
	shift uint8
	used  int
}

func newAddressTable(is4 bool) addressTable {
	t := addressTable{is4: is4, width: format.SlotWords6}
	if is4 {
		t.width = format.SlotWords4
	}
	t.make(format.MinSlots)
	return t
}

func (t *addressTable) make(slots int) {
	t.words = make([]uint32, slots*t.width)
	t.shift = format.Shift(slots)
}

func (t *addressTable) slots() int { return len(t.words) / t.width }

func (t *addressTable) slot(i int) []uint32 { return t.words[i*t.width : (i+1)*t.width] }

func (t *addressTable) home(a format.Address) int {
	if t.is4 {
		return int(format.Hash4(uint32(a.Lo)) >> t.shift)
	}
	return int(format.Hash6(a) >> t.shift)
}

// at returns the address in a slot.
func (t *addressTable) at(i int) format.Address {
	s := t.slot(i)
	if t.is4 {
		return format.Address{Lo: uint64(s[0])}
	}
	return format.AddressFrom(s)
}

// find returns the slot that contains an address. If no slot contains the address, find
// returns the free slot in which to store it.
func (t *addressTable) find(a format.Address) (i int, found bool) {
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

func (t *addressTable) get(a format.Address) uint32 {
	i, _ := t.find(a)
	return t.slot(i)[t.width-1]
}

// set stores the value of an address. Value 0 removes the address.
func (t *addressTable) set(a format.Address, value uint32) {
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

// reserve grows the table for n more addresses.
func (t *addressTable) reserve(n int) {
	slots := t.slots()
	for (t.used+n)*5 > slots*4 {
		slots *= 2
	}
	if slots != t.slots() {
		t.resize(slots)
	}
}

func (t *addressTable) put(i int, a format.Address, value uint32) {
	s, w := t.slot(i), a.Words()
	if t.is4 {
		s[0], s[1] = w[3], value
		return
	}
	copy(s, w[:])
	s[4] = value
}

// remove frees slot i. A search ends at a free slot, so remove then moves later addresses to
// earlier slots. Searches thus still find these addresses.
func (t *addressTable) remove(i int) {
	mask := t.slots() - 1
	for j := (i + 1) & mask; t.slot(j)[t.width-1] != 0; j = (j + 1) & mask {
		// The home of an address is the slot at which a search for the address starts. The
		// address at j may move to slot i only if slot i is not before its home.
		if home := t.home(t.at(j)); (j-home)&mask >= (j-i)&mask {
			copy(t.slot(i), t.slot(j))
			i = j
		}
	}
	clear(t.slot(i))
	t.used--
	if t.slots() > format.MinSlots && t.used*8 < t.slots() {
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
