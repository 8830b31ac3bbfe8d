package tree

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// programVerifier verifies one program after the other. A program consists of parts, such as
// leaves, and can contain several references to the same part. programVerifier verifies each
// part only once, so that the work is proportional to the size of the file.
type programVerifier struct {
	tree *Tree
	// The `words` field contains the current program. The `rules` field is the part of `words`
	// that contains the rules.
	words []uint32
	rules []uint32
	// marks records which leaves and pages have been verified. It contains one byte for each word
	// of the program. The bits markLeaf and markPage are set in the byte of the first word of each
	// verified leaf and page.
	marks []uint8
	// regions contains the verified parts that are neither leaves nor pages.
	regions map[region]struct{}
}

const (
	markLeaf = 1 << iota
	markPage
)

// region identifies a part by its offset and length. The offset alone is not enough, because
// two references can have the same offset but different lengths.
type region struct {
	kind          uint8
	offset, count uint32
}

const (
	regionDirectory = iota
	regionIPv4
	regionIPv6
)

// begin prepares the verifier for a program that consists of the given words.
func (v *programVerifier) begin(words []uint32) {
	v.words = words
	v.marks = slices.Grow(v.marks[:0], len(words))[:len(words)]
	clear(v.marks)
	clear(v.regions)
}

// The method `unmarked` records in `marks` that the leaf or the page at the given offset has been
// verified. The `mark` parameter is markLeaf or markPage. It returns true if this mark was not set
// before.
func (v *programVerifier) unmarked(offset uint32, mark uint8) bool {
	seen := v.marks[offset]&mark != 0
	v.marks[offset] |= mark
	return !seen
}

// The method `first` adds a region to the `regions` field. It returns false if the field already
// contained the region.
func (v *programVerifier) first(r region) bool {
	_, seen := v.regions[r]
	v.regions[r] = struct{}{}
	return !seen
}

// part returns the words of the program that start at the given offset. The `count` parameter is
// the number of words. If some of these words belong to the head of the program or are outside
// the program, part returns an error. The parameter `what` is the name of the part in this
// error.
func (v *programVerifier) part(what string, offset uint32, count uint64) ([]uint32, error) {
	if offset < format.ProgramBody || uint64(offset)+count > uint64(len(v.words)) {
		return nil, fmt.Errorf("%s with %d words at offset %d is outside the program", what, count, offset)
	}
	return v.words[offset : uint64(offset)+count], nil
}

func (v *programVerifier) verify() error {
	isolated := v.words[format.ProgramIsolated]
	policies, err := v.part("list of policies", format.ProgramBody, uint64(isolated))
	if err != nil {
		return err
	}
	for _, policy := range policies {
		if !v.tree.isName(policy) {
			return fmt.Errorf("isolating policy: name %d does not exist", policy)
		}
	}
	if v.rules, err = v.part("rules", format.ProgramBody+isolated, uint64(v.words[format.ProgramRules])*format.RuleWords); err != nil {
		return err
	}
	if v.tree.fingerprints {
		at := format.ProgramBody + isolated + v.words[format.ProgramRules]*format.RuleWords
		if _, err := v.part("fingerprints", at, uint64(v.words[format.ProgramRules])*format.FingerprintWords); err != nil {
			return err
		}
	}
	tier, denies := v.words[format.ProgramTier], isolated > 0
	if tier >= format.Tiers || (rule.Tier(tier) == rule.NetworkPolicyTier) != (isolated > 0) {
		return fmt.Errorf("tier %d with %d isolating policies", tier, isolated)
	}
	for i := 0; i < len(v.rules); i += format.RuleWords {
		r := v.rules[i : i+format.RuleWords]
		if err := v.rule(r, rule.Tier(tier)); err != nil {
			return fmt.Errorf("rule %d: %w", i/format.RuleWords, err)
		}
		denies = denies || rule.Action(r[format.RuleAction]) == rule.ActionDeny
	}
	if flag := v.words[format.ProgramDenies]; flag > 1 || denies != (flag == 1) {
		return fmt.Errorf("the word that states whether the program can deny flows is %d, but the rules disagree", flag)
	}
	for slot := range format.PortTables {
		if err := v.portTable(v.words[format.ProgramPorts+slot]); err != nil {
			return err
		}
	}
	return nil
}

func (v *programVerifier) rule(r []uint32, tier rule.Tier) error {
	if !v.tree.isName(r[format.RuleName]) {
		return fmt.Errorf("name %d does not exist", r[format.RuleName])
	}
	switch action := r[format.RuleAction]; {
	case action == uint32(rule.ActionPass) && tier == rule.NetworkPolicyTier:
		return errors.New("a rule of a NetworkPolicy cannot have action Pass")
	case action < uint32(rule.ActionAccept) || action > uint32(rule.ActionPass):
		return fmt.Errorf("action %d is unknown", action)
	}
	return nil
}

func (v *programVerifier) portTable(offset uint32) error {
	head, err := v.part("port table", offset, 1)
	if err != nil {
		return err
	}
	n := uint64(head[0])
	table, err := v.part("port table", offset, 1+2*n)
	if err != nil {
		return err
	}
	if n == 0 || table[1] != 0 || table[n] > 65535 {
		return errors.New("port table does not cover all ports")
	}
	for i := uint64(2); i <= n; i++ {
		if table[i] <= table[i-1] {
			return errors.New("port table is not ascending")
		}
	}
	for _, leaf := range table[1+n:] {
		if err := v.leaf(leaf); err != nil {
			return err
		}
	}
	return nil
}

// leaf verifies a leaf and all leaves that follow it through LeafNext.
func (v *programVerifier) leaf(offset uint32) error {
	for number := 1; ; number++ {
		leaf, err := v.part("leaf", offset, format.LeafWords)
		if err != nil {
			return err
		}
		if v.unmarked(offset, markLeaf) {
			if err := v.leafItself(leaf); err != nil {
				return err
			}
		} else if number == 1 {
			return nil
		}
		switch next := leaf[format.LeafNext]; {
		case next == 0:
			return nil
		case next >= offset || number == format.MaxLeaves:
			return fmt.Errorf("leaf at offset %d: the next leaf is at offset %d and is leaf %d of the lookup; want a lower offset and at most %d leaves", offset, next, number+1, format.MaxLeaves)
		default:
			offset = next
		}
	}
}

func (v *programVerifier) leafItself(leaf []uint32) error {
	if err := v.entries(leaf[format.LeafEvery : format.LeafEvery+1]); err != nil {
		return err
	}
	if err := v.directory(leaf[format.LeafDirectory], leaf[format.LeafDirectory+1]); err != nil {
		return err
	}
	if err := v.intervals(regionIPv4, leaf[format.LeafIPv4], leaf[format.LeafIPv4+1]); err != nil {
		return err
	}
	return v.intervals(regionIPv6, leaf[format.LeafIPv6], leaf[format.LeafIPv6+1])
}

func (v *programVerifier) directory(offset, pages uint32) error {
	if pages == 0 || !v.first(region{regionDirectory, offset, pages}) {
		return nil
	}
	directory, err := v.part("class directory", offset, uint64(pages))
	if err != nil {
		return err
	}
	for _, page := range directory {
		if page == 0 {
			continue
		}
		entries, err := v.part("class page", page, format.PageClasses)
		if err != nil {
			return err
		}
		if !v.unmarked(page, markPage) {
			continue
		}
		if err := v.entries(entries); err != nil {
			return err
		}
	}
	return nil
}

func (v *programVerifier) intervals(kind uint8, offset, count uint32) error {
	if count == 0 || !v.first(region{kind, offset, count}) {
		return nil
	}
	width := 1
	if kind == regionIPv6 {
		width = 4
	}
	starts := int(count) * width
	words, err := v.part("address intervals", offset, uint64(count)*uint64(width+1))
	if err != nil {
		return err
	}
	for i := width; i < starts; i += width {
		if slices.Compare(words[i-width:i], words[i:i+width]) >= 0 {
			return errors.New("address intervals are not ascending")
		}
	}
	return v.entries(words[starts:])
}

// The method `entries` verifies that each entry is either 0 or the number and the action of an
// existing rule.
func (v *programVerifier) entries(entries []uint32) error {
	for _, entry := range entries {
		if entry == 0 {
			continue
		}
		at := uint64(entry>>format.ActionBits) * format.RuleWords
		if at >= uint64(len(v.rules)) || v.rules[at+format.RuleAction] != entry&format.ActionMask {
			return fmt.Errorf("entry %#x does not refer to a rule with its action", entry)
		}
	}
	return nil
}
