// Package masks records the mark masks that the dataplanes of a node have used since the node
// booted. A dataplane records its mask before it installs the first rule with this mask. So the
// recorded masks include every bit that Sluice may have set in the mark of a connection.
//
// A mask is removed from the record once no connection has its bits and no rule sets them. From
// then on, another program may use the bits.
package masks

import (
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

// Record is the record in a state directory. The methods of a nil Record do nothing.
type Record struct {
	stateDir string
}

// NewRecord returns the record of a state directory.
func NewRecord(stateDir string) *Record { return &Record{stateDir} }

// Former describes the masks of earlier dataplanes.
type Former struct {
	// Marks contains the marks that other dataplanes have used. Connections may still have bits of
	// these marks. It does not contain the marks of the starting dataplane.
	Marks []ruleset.Marks
	// Installed contains the marks of the installed rules. It is the zero value if no rules are
	// installed.
	Installed ruleset.Marks
}

// Begin records the mask of a dataplane that is about to install its rules, and returns the masks
// of earlier dataplanes. It returns the error of Check. The caller must hold the lock on the
// table.
func (r *Record) Begin(ours ruleset.Marks) (Former, error) {
	if r == nil {
		return Former{}, nil
	}
	recorded, installed, err := read(r.stateDir)
	if err == nil {
		err = check(ours, installed)
	}
	if err != nil {
		return Former{}, err
	}
	all := add(add(recorded, installed.Mask), ours.Mask)
	if !slices.Equal(all, recorded) {
		if err := statedir.WriteMasks(r.stateDir, all); err != nil {
			return Former{}, err
		}
	}
	f := Former{Installed: installed}
	for _, mask := range all {
		if mask == ours.Mask {
			continue
		}
		m, err := ruleset.MarksOf(mask)
		if err != nil {
			return Former{}, fmt.Errorf("reading %s: %w", statedir.Masks(r.stateDir), err)
		}
		f.Marks = append(f.Marks, m)
	}
	return f, nil
}

// End records that no connection has bits of a former mask any longer. The record then contains
// only the mask of `ours`.
func (r *Record) End(ours ruleset.Marks) error {
	if r == nil {
		return nil
	}
	return statedir.WriteMasks(r.stateDir, []uint32{ours.Mask})
}

// Check returns an error if the mask of the installed rules and the mask of `ours` differ but
// share a bit. A dataplane must not start with such a mask, because the bit can mean allow in
// one mask and deny in the other mask. If the installed rules cannot be read, Check returns
// nil, and Begin returns the error later.
func Check(ours ruleset.Marks) error {
	installed, err := ruleset.InstalledMarks()
	if err != nil {
		return nil //nolint:nilerr // See the comment of the function.
	}
	return check(ours, installed)
}

func check(ours, installed ruleset.Marks) error {
	if installed.Mask == ours.Mask || installed.Mask&ours.Mask == 0 {
		return nil
	}
	return fmt.Errorf("mark mask %#x shares a bit with mask %#x of the installed rules: "+
		"use a mask without a common bit, or first run `sluice dataplane --uninstall`", ours.Mask, installed.Mask)
}

// Used returns the masks whose bits may be set in connection marks. These are the recorded
// masks and the mask of the installed rules. If the mask of the installed rules is not
// recorded, Used records it, so that it remains known after the rules have been removed. If
// rules are installed, but neither the rules nor the record contain a mask, Used returns the
// mask of `fallback`. If no dataplane has run on the node since it booted, the result is empty.
func Used(stateDir string, fallback ruleset.Marks) ([]uint32, error) {
	recorded, installed, err := read(stateDir)
	if err != nil {
		return nil, err
	}
	all := add(recorded, installed.Mask)
	if len(all) == 0 {
		exists, err := ruleset.Exists()
		if err != nil || !exists {
			return nil, err
		}
		all = []uint32{fallback.Mask}
	}
	if slices.Equal(all, recorded) {
		return all, nil
	}
	return all, statedir.WriteMasks(stateDir, all)
}

func read(stateDir string) (recorded []uint32, installed ruleset.Marks, err error) {
	if recorded, err = statedir.ReadMasks(stateDir); err != nil {
		return nil, ruleset.Marks{}, err
	}
	installed, err = ruleset.InstalledMarks()
	return recorded, installed, err
}

// add returns a copy of masks that contains the given mask, unless the mask is 0.
func add(masks []uint32, mask uint32) []uint32 {
	if mask == 0 || slices.Contains(masks, mask) {
		return slices.Clone(masks)
	}
	return append(slices.Clone(masks), mask)
}
