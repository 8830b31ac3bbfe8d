package build

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// encoder encodes one program.
type encoder struct {
	program *rule.Program
	// flatLimit is the flat limit. See DefaultFlatLimit.
	flatLimit int
	words     []uint32
	// entries contains the entry of each rule. See format.ActionBits for the definition of an
	// entry.
	entries []uint32
	// The maps `placed` and `leaves` contain the offsets of parts that have already been encoded,
	// so that equal parts are stored only once. A key of `placed` is the content of a part. A key
	// of `leaves` consists of the offset of the next leaf and the matches of the leaf.
	placed map[string]uint32
	leaves map[string]uint32
}

// matchRef identifies a match. The `rule` field is the index of the rule in the program, and the
// `match` field is the index of the match in the rule.
type matchRef struct{ rule, match int }

// encodeProgram returns the words of a program. For each occurrence of a policy name in the
// program, encodeProgram acquires a reference to the name. To release these references, the caller
// calls programNames with these words and with names.release.
func encodeProgram(p *rule.Program, names *names, flatLimit int) []uint32 {
	e := encoder{program: p, flatLimit: flatLimit, placed: map[string]uint32{}, leaves: map[string]uint32{}}
	e.words = make([]uint32, format.ProgramBody, 256)
	e.words[format.ProgramTier] = uint32(p.Tier)
	if p.Denies() {
		e.words[format.ProgramDenies] = 1
	}
	e.words[format.ProgramIsolated] = uint32(len(p.IsolatedBy))
	e.words[format.ProgramRules] = uint32(len(p.Rules))
	for _, policy := range p.IsolatedBy {
		e.words = append(e.words, names.acquire(policy))
	}
	for i, r := range p.Rules {
		e.words = append(e.words, names.acquire(r.Policy), uint32(r.Index), uint32(r.Action))
		e.entries = append(e.entries, uint32(i)<<format.ActionBits|uint32(r.Action))
	}
	for _, r := range p.Rules {
		e.words = append(e.words, uint32(r.Fingerprint), uint32(r.Fingerprint>>32))
	}
	for table := range format.PortTables {
		e.words[format.ProgramPorts+table] = e.portTable(table)
	}
	for len(e.words)%format.Alignment != 0 {
		e.words = append(e.words, 0)
	}
	e.words[format.ProgramLength] = uint32(len(e.words))
	return slices.Clip(e.words)
}

// programNames calls f for each occurrence of a policy name in a program. The argument of f is
// the number of the name.
func programNames(words []uint32, f func(number uint32)) {
	at := format.ProgramBody
	for range words[format.ProgramIsolated] {
		f(words[at])
		at++
	}
	for range words[format.ProgramRules] {
		f(words[at+format.RuleName])
		at += format.RuleWords
	}
}

// leaf encodes a leaf with the given matches and returns the offset of the leaf. The matches
// must be in the order of the rules. The `next` parameter is the offset of the next leaf, or 0 if
// there is no next leaf. The next leaf must already be encoded.
func (e *encoder) leaf(refs []matchRef, next uint32) uint32 {
	key := binary.NativeEndian.AppendUint32(make([]byte, 0, 4+8*len(refs)), next)
	for _, ref := range refs {
		key = binary.NativeEndian.AppendUint32(key, uint32(ref.rule))
		key = binary.NativeEndian.AppendUint32(key, uint32(ref.match))
	}
	if at, ok := e.leaves[string(key)]; ok {
		return at
	}
	leaf := make([]uint32, format.LeafWords)
	leaf[format.LeafNext] = next
	pages := map[uint32]*[format.PageClasses]uint32{}
	var spans4, spans6 []span
	directory := uint32(0)
	for _, ref := range refs {
		m, entry := &e.program.Rules[ref.rule].Matches[ref.match], e.entries[ref.rule]
		if m.Any {
			// This match includes every peer, so the later matches have no effect.
			leaf[format.LeafEvery] = entry
			break
		}
		for _, class := range m.Classes {
			page := pages[uint32(class)>>format.PageBits]
			if page == nil {
				page = new([format.PageClasses]uint32)
				pages[uint32(class)>>format.PageBits] = page
				directory = max(directory, uint32(class)>>format.PageBits+1)
			}
			if at := &page[class%format.PageClasses]; *at == 0 {
				*at = entry
			}
		}
		for _, b := range m.Blocks {
			if b.Prefix.Addr().Is4() {
				spans4 = appendSpans(spans4, b, entry)
			} else {
				spans6 = appendSpans(spans6, b, entry)
			}
		}
	}
	if directory > 0 {
		offsets := make([]uint32, directory)
		// The order of the pages in the file must not depend on the order of the map.
		for _, number := range slices.Sorted(maps.Keys(pages)) {
			offsets[number] = e.place(pages[number][:])
		}
		leaf[format.LeafDirectory], leaf[format.LeafDirectory+1] = e.place(offsets), directory
	}
	leaf[format.LeafIPv4], leaf[format.LeafIPv4+1] = e.intervals(flatten(spans4, true), true)
	leaf[format.LeafIPv6], leaf[format.LeafIPv6+1] = e.intervals(flatten(spans6, false), false)
	at := uint32(len(e.words))
	if next == 0 {
		at = e.place(leaf)
	} else {
		// The offset of a leaf must be higher than the offset of its next leaf. An equal part that
		// is already stored may have a lower offset, so do not reuse it.
		e.words = append(e.words, leaf...)
	}
	e.leaves[string(key)] = at
	return at
}

// The method `intervals` encodes the first addresses of all steps, followed by the entries of all
// steps. It returns the offset of this encoding and the number of steps.
func (e *encoder) intervals(steps []step, is4 bool) (offset, count uint32) {
	if len(steps) == 0 {
		return 0, 0
	}
	var words []uint32
	for _, s := range steps {
		w := s.first.Words()
		if is4 {
			words = append(words, w[3])
		} else {
			words = append(words, w[:]...)
		}
	}
	for _, s := range steps {
		words = append(words, s.entry)
	}
	return e.place(words), uint32(len(steps))
}

// place stores a part in the program and returns the offset of the part. If an equal part is
// already stored, place returns the offset of that part.
func (e *encoder) place(part []uint32) uint32 {
	key := string(format.BytesOf(part))
	if at, ok := e.placed[key]; ok {
		return at
	}
	at := uint32(len(e.words))
	e.words = append(e.words, part...)
	e.placed[key] = at
	return at
}
