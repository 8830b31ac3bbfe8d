package tree

import "github.com/sluicenet/sluice/dataplane/tree/internal/format"

// find4 returns the value of an IPv4 address in a table with 1<<(32-shift) slots. If the table
// does not contain the address, find4 returns 0.
func find4(table []uint32, shift uint8, a uint32) uint32 {
	mask := uint32(len(table)/format.SlotWords4 - 1)
	for i := format.Hash4(a) >> (shift & 31); ; i = (i + 1) & mask {
		slot := table[i*format.SlotWords4:]
		if len(slot) < format.SlotWords4 || slot[1] == 0 {
			return 0
		}
		if slot[0] == a {
			return slot[1]
		}
	}
}

// find6 is like find4, but for IPv6 addresses.
func find6(table []uint32, shift uint8, a format.Address) uint32 {
	mask := uint32(len(table)/format.SlotWords6 - 1)
	for i := format.Hash6(a) >> (shift & 31); ; i = (i + 1) & mask {
		slot := table[i*format.SlotWords6:]
		if len(slot) < format.SlotWords6 || slot[4] == 0 {
			return 0
		}
		if format.AddressFrom(slot) == a {
			return slot[4]
		}
	}
}
