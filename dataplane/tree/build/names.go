package build

import "github.com/sluicenet/sluice/dataplane/tree/internal/format"

// The type `names` assigns a number to each string and counts the references to each string.
type names struct {
	numbers map[string]uint32
	all     []name
	free    []uint32
	changed bool
	// The fields `words` and `bytes` contain the latest encodings of the sections for names. The
	// `encode` method updates both fields.
	words []uint32
	bytes []uint32
}

type name struct {
	text       string
	references int
}

func newNames() names { return names{numbers: map[string]uint32{}, changed: true} }

// acquire adds a reference to a string and returns the number of the string.
func (n *names) acquire(text string) uint32 {
	number, ok := n.numbers[text]
	if !ok {
		if last := len(n.free) - 1; last >= 0 {
			number, n.free = n.free[last], n.free[:last]
		} else {
			number = uint32(len(n.all))
			n.all = append(n.all, name{})
		}
		n.all[number].text = text
		n.numbers[text] = number
		n.changed = true
	}
	n.all[number].references++
	return number
}

// release removes a reference to the string with the given number. After the last
// reference has been removed, the number can be assigned to another string.
func (n *names) release(number uint32) {
	entry := &n.all[number]
	if entry.references--; entry.references > 0 {
		return
	}
	delete(n.numbers, entry.text)
	*entry = name{}
	n.free = append(n.free, number)
	n.changed = true
}

// encode updates words and bytes if strings have been added or removed.
func (n *names) encode() {
	if !n.changed {
		return
	}
	n.changed = false
	total := 0
	for i := range n.all {
		total += len(n.all[i].text)
	}
	n.words = make([]uint32, 0, 2*len(n.all))
	n.bytes = make([]uint32, (total+format.WordSize-1)/format.WordSize)
	bytes, first := format.BytesOf(n.bytes), 0
	for i := range n.all {
		text := n.all[i].text
		n.words = append(n.words, uint32(first), uint32(len(text)))
		first += copy(bytes[first:], text)
	}
}
