// Package uninstall removes everything that the dataplanes of a node have left behind, and
// verifies that nothing is left.
package uninstall

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/masks"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/status"
)

// Result describes what Run has removed and what it has left in place.
type Result struct {
	// StateDir is the state directory.
	StateDir string
	// Masks contains the mark masks whose bits Run has removed from connections. It is empty if
	// no dataplane has run on the node since it booted.
	Masks []uint32
	// Cleared is the number of connections from which Run has removed mark bits.
	Cleared int
	// Shared is true if another program sets the same bits of connection marks as Sluice.
	Shared bool
	// Foreign contains the paths of the files in the state directory that do not belong to
	// Sluice.
	Foreign []string
}

// Run removes the rules, the marks, the sockets and the trees of a node, in the network namespace
// of the calling thread. If Run returns no error, nothing of Sluice is left except for the locks,
// which the caller must hold. The `fallback` parameter contains the marks to remove if rules are
// installed but their marks are unknown.
//
// Run removes the rules first, so that no rule sets new marks while Run removes the marks. Then it
// checks that no mark is left. It removes the files last. If a dataplane starts before the files
// have been removed, it reads the tree and installs the rules again.
func Run(stateDir string, fallback ruleset.Marks) (Result, error) {
	r := Result{StateDir: stateDir}
	var err error
	if r.Masks, err = masks.Used(stateDir, fallback); err != nil {
		return r, err
	}
	if err := ruleset.Uninstall(); err != nil {
		return r, err
	}
	if err := r.removeMarks(); err != nil {
		return r, err
	}
	if r.Foreign, err = statedir.Remove(stateDir); err != nil {
		return r, err
	}
	return r, errors.Join(status.Remove(stateDir), statedir.RemoveMasks(stateDir))
}

const (
	// checkPause is the time between the removal of marks and the check that no mark is left.
	checkPause = 100 * time.Millisecond
	// repairTime is longer than a running dataplane needs to reinstall its rules.
	repairTime = time.Second
)

// removeMarks removes the marks of connections and checks that no mark is left. If connections get
// marks again although no rules of Sluice are installed, another program sets the same bits.
func (r *Result) removeMarks() error {
	if len(r.Masks) == 0 {
		return nil
	}
	var err error
	// Wait until the kernel no longer processes packets with the removed rules.
	ruleset.Barrier()
	if r.Cleared, err = clearMarks(r.Masks); err != nil {
		return err
	}
	<-time.After(checkPause)
	again, err := clearMarks(r.Masks)
	if err != nil || again == 0 {
		return err
	}
	<-time.After(repairTime)
	exists, err := ruleset.Exists()
	if exists {
		err = fmt.Errorf("the table inet sluice was installed again, and %d connections were marked again: "+
			"a dataplane with another state directory is running on this node, stop it first", again)
	}
	r.Shared = true
	return err
}

// clearMarks removes the bits of masks from all connection marks, and returns the number of
// connections that had such bits.
func clearMarks(masks []uint32) (cleared int, err error) {
	var all ruleset.Marks
	for _, mask := range masks {
		all.Mask |= mask
	}
	connections, err := conntrack.Open(all)
	if err != nil {
		return 0, err
	}
	result, err := connections.Clear()
	return result.Cleared, errors.Join(err, connections.Close())
}

// String returns a text for users. Each line of the text is a sentence.
func (r Result) String() string {
	var b strings.Builder
	var hex []string
	for _, mask := range r.Masks {
		hex = append(hex, fmt.Sprintf("%#x", mask))
	}
	mask := strings.Join(hex, " and ")
	if r.Shared {
		fmt.Fprintf(&b, "note: another program sets mark bits %s of connections, Sluice no longer does\n", mask)
	}
	for _, path := range r.Foreign {
		fmt.Fprintf(&b, "note: %s does not belong to Sluice and stays\n", path)
	}
	marks := fmt.Sprintf("the marks %s of %d connections", mask, r.Cleared)
	if len(r.Masks) == 0 {
		b.WriteString("note: no dataplane has run on this node since it booted, so connection marks are unchanged\n")
		marks = "no marks"
	}
	fmt.Fprintf(&b, "removed: the tables inet sluice and bridge sluice, %s, the trees in %s; nothing is left of Sluice\n", marks, r.StateDir)
	return b.String()
}
