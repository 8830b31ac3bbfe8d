// Package handover passes the right to write the nftables table from one dataplane of a
// node to the next one, so that a dataplane can be replaced without a gap.
//
// Two locks of the state directory order the dataplanes of a node:
//
//   - The dataplane with the lock on the table may write the nftables table.
//   - The dataplane with the lock on the turn may request the table from its holder. It
//     keeps the turn until its predecessor has drained its queues. So the table passes
//     from one dataplane to one other, even if a third one waits.
//
// A process loses its locks when it ends, in whatever way it ends.
//
// A successor sends two requests on a connection to the socket of its predecessor:
//
//	yield    The predecessor stops writing the table and releases the lock on the table.
//	drain    The predecessor serves its queues until they are empty, and unbinds them.
//
// If the successor ends, its connection is closed and its locks are released. Then its
// predecessor takes the table again.
package handover

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/statedir"
)

// The locks are locks on single bytes of one file.
const (
	tableByte = iota
	turnByte
)

const lockMode = 0o600

// Lock is a pair of locks of a state directory. It is not safe for concurrent use.
type Lock struct {
	stateDir string
	// file is open while this process holds one of the locks.
	file        *os.File
	table, turn bool
}

// NewLock returns a Lock that is not held.
func NewLock(stateDir string) *Lock { return &Lock{stateDir: stateDir} }

// Take tries to take the turn and then the table, and reports whether this process holds
// both. It does not wait. If another process holds the table, this process keeps the turn.
// If the state directory does not exist yet, Take returns false.
func (l *Lock) Take() (bool, error) {
	if err := l.take(&l.turn, turnByte); err != nil || !l.turn {
		return false, err
	}
	err := l.take(&l.table, tableByte)
	return l.table, err
}

// Turn reports whether this process holds the turn.
func (l *Lock) Turn() bool { return l.turn }

// EndTurn releases the turn, so that another dataplane may request the table.
func (l *Lock) EndTurn() error { return l.release(&l.turn, turnByte) }

// Release releases both locks.
func (l *Lock) Release() error {
	return errors.Join(l.release(&l.table, tableByte), l.release(&l.turn, turnByte))
}

// Remove removes the file of the locks and then releases the locks. This process must hold
// both.
func (l *Lock) Remove() error {
	var err error
	for _, path := range []string{statedir.HandoverSocket(l.stateDir), statedir.Lock(l.stateDir)} {
		if e := os.Remove(path); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		err = fmt.Errorf("removing the lock of the dataplane: %w", err)
	}
	return errors.Join(err, l.Release())
}

func (l *Lock) take(held *bool, number int64) error {
	if *held {
		return nil
	}
	for {
		switch err := l.open(); {
		case errors.Is(err, os.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("locking the table: %w", err)
		}
		switch err := l.set(unix.F_WRLCK, number); {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
			return l.closeUnused()
		case err != nil:
			return errors.Join(fmt.Errorf("locking %s: %w", l.file.Name(), err), l.closeUnused())
		}
		*held = true
		// A process that uninstalls removes the file while it holds the locks. A lock on a
		// removed file has no effect.
		if l.isCurrent() {
			return nil
		}
		if err := l.release(held, number); err != nil {
			return err
		}
	}
}

func (l *Lock) release(held *bool, number int64) error {
	if !*held {
		return nil
	}
	*held = false
	if err := l.set(unix.F_UNLCK, number); err != nil {
		return fmt.Errorf("unlocking %s: %w", l.file.Name(), err)
	}
	return l.closeUnused()
}

func (l *Lock) open() error {
	if l.file != nil {
		return nil
	}
	var err error
	l.file, err = os.OpenFile(statedir.Lock(l.stateDir), os.O_RDWR|os.O_CREATE, lockMode)
	return err
}

func (l *Lock) closeUnused() error {
	if l.file == nil || l.table || l.turn {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// set sets or removes an open file description lock. Such a lock ends with the last
// descriptor of the open file.
func (l *Lock) set(kind int16, number int64) error {
	lock := unix.Flock_t{Type: kind, Start: number, Len: 1}
	return unix.FcntlFlock(l.file.Fd(), unix.F_OFD_SETLK, &lock)
}

// isCurrent reports whether the open file is still the file in the state directory.
func (l *Lock) isCurrent() bool {
	opened, err := l.file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(statedir.Lock(l.stateDir))
	return err == nil && os.SameFile(opened, now)
}
