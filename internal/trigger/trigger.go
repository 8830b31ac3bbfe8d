// Package trigger provides a signal that wakes one goroutine and coalesces.
package trigger

// Trigger notifies a goroutine that there is work to do. Any number of goroutines
// set it, and one goroutine receives from its channel. Set never blocks. Calls of
// Set before the next receive count as one. So a receiver that reads the current
// state after each receive does not miss a change.
//
// Copies of a Trigger share the signal. The zero value never fires; use New.
type Trigger struct{ c chan struct{} }

// New returns a trigger that is not set.
func New() Trigger { return Trigger{c: make(chan struct{}, 1)} }

// Set makes the next receive from C return at once. It does nothing if the
// trigger is set already.
func (t Trigger) Set() {
	select {
	case t.c <- struct{}{}:
	default:
	}
}

// C returns the channel that delivers the signal. A receive clears it. The
// channel is never closed.
func (t Trigger) C() <-chan struct{} { return t.c }
