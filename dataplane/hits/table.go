package hits

import (
	"math/bits"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// Table maps the rules of one tree to slots. It is immutable after Counters.Use has returned it.
type Table struct {
	// slots contains the slots of each program: first the slot for packets that no rule matches, and
	// then the slots of the rules. The first element is slot 0, to which missing keys lead.
	slots []uint32
	// entries is a hash table with open addressing. It maps each program and direction, and each rule
	// of the Admin tier, to an index of `slots`. The key of a program is its Ref, which is even, plus
	// the direction. The key of a rule is its position in the section of the programs. No program
	// starts at the position of a rule. An entry with key 0 is free.
	entries []entry
	shift   uint8
}

type entry struct{ key, first uint32 }

// newTable returns a table with room for the given programs.
func newTable(programs []tree.Program) *Table {
	keys, slots := len(programs), 1+len(programs)
	for i := range programs {
		slots += programs[i].Len()
		if programs[i].Tier == rule.AdminTier {
			keys += programs[i].Len()
		}
	}
	width := bits.Len(uint(2 * keys))
	return &Table{slots: append(make([]uint32, 0, slots), 0), entries: make([]entry, 1<<width), shift: uint8(32 - width)}
}

// start returns the index of the entry at which the search for a key starts.
func (t *Table) start(key uint32) uint32 { return key * 0x9e3779b1 >> (t.shift & 31) }

// add appends a slot to `slots`, and adds a key that leads to this slot.
func (t *Table) add(key, slot uint32) {
	mask := uint32(len(t.entries) - 1)
	i := t.start(key) & mask
	for t.entries[i].key != 0 && t.entries[i].key != key {
		i = (i + 1) & mask
	}
	if t.entries[i].key == 0 {
		t.entries[i] = entry{key, uint32(len(t.slots))}
	}
	t.slots = append(t.slots, slot)
}

// addRule appends the slot of a program's next rule. For a rule of the Admin tier, it also adds a
// key, because rule.Side.Passed refers to the rule by its position and not by its program.
func (t *Table) addRule(p *tree.Program, number int, slot uint32) {
	if p.Tier != rule.AdminTier {
		t.slots = append(t.slots, slot)
		return
	}
	t.add(p.Position(number), slot)
}

// find returns the index in `slots` to which a key leads, or 0 if the table does not contain the
// key.
func (t *Table) find(key uint32) uint32 {
	mask := uint32(len(t.entries) - 1)
	for i := t.start(key) & mask; ; i = (i + 1) & mask {
		if e := t.entries[i]; e.key == key || e.key == 0 {
			return e.first
		}
	}
}
