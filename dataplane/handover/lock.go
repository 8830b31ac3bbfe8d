// Package handover transfers the right to write the nftables table from a node's running
// dataplane (the predecessor) to a new dataplane (the successor). Packets are evaluated without
// interruption while a dataplane is replaced.
//
// The state directory has two locks:
//
//   - The table lock. Its holder may write the nftables table.
//   - The turn lock. Its holder may request the table lock from the process that holds the
//     table lock. A successor keeps the turn lock until its predecessor has drained its queues,
//     so that a third dataplane cannot interrupt the hand-over.
//
// When a process ends, the kernel releases its locks.
//
// A successor connects to the socket of its predecessor and sends two requests:
//
//	yield    The predecessor stops writing the table and releases the table lock.
//	drain    The predecessor serves its queues until they are empty, and unbinds them.
//
// If the successor ends before its predecessor, the kernel closes the connection and releases
// the locks of the successor. The predecessor then takes the table lock again.
package handover

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/statedir/socket"
)

// Each lock covers one byte of the lock file. The constants are the offsets of these bytes.
const (
	tableByte = iota
	turnByte
)

const lockMode = 0o600

// Lock represents the table lock and the turn lock of a state directory. It is not safe
// for concurrent use.
type Lock struct {
	stateDir string
	// file is the lock file. It is open while this process holds a lock.
	file        *os.File
	table, turn bool
}

// NewLock returns a Lock that holds neither the table lock nor the turn lock.
func NewLock(stateDir string) *Lock { return &Lock{stateDir: stateDir} }

// Take tries to take the turn lock and then the table lock. It reports whether this process
// holds both locks. Take does not wait. If another process holds the table lock, Take returns
// false, but this process keeps the turn lock. If the state directory does not exist yet, Take
// returns false.
func (l *Lock) Take() (bool, error) {
	if err := l.take(&l.turn, turnByte); err != nil || !l.turn {
		return false, err
	}
	err := l.take(&l.table, tableByte)
	return l.table, err
}

// Turn reports whether this process holds the turn lock.
func (l *Lock) Turn() bool { return l.turn }

// EndTurn releases the turn lock, so that another dataplane may request the table lock.
func (l *Lock) EndTurn() error { return l.release(&l.turn, turnByte) }

// Release releases both locks.
func (l *Lock) Release() error {
	return errors.Join(l.release(&l.table, tableByte), l.release(&l.turn, turnByte))
}

// Remove removes the hand-over socket and the lock file, and then releases both locks.
// This process must hold both locks.
func (l *Lock) Remove() error {
	var err error
	for _, path := range []string{socket.Handover(l.stateDir), statedir.Lock(l.stateDir)} {
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
		// A process that uninstalls Sluice removes the lock file while it holds the locks. It
		// may have removed the file after this process opened it. In this case, the lock of
		// this process has no effect on processes that open a new file.
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

// set takes or releases a lock. The lock belongs to the open file description (OFD) of the lock
// file. The kernel releases it when the last file descriptor that refers to this OFD is closed.
func (l *Lock) set(kind int16, number int64) error {
	lock := unix.Flock_t{Type: kind, Start: number, Len: 1}
	return unix.FcntlFlock(l.file.Fd(), unix.F_OFD_SETLK, &lock)
}

// isCurrent reports whether file is still the lock file in the state directory.
func (l *Lock) isCurrent() bool {
	opened, err := l.file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(statedir.Lock(l.stateDir))
	return err == nil && os.SameFile(opened, now)
}
