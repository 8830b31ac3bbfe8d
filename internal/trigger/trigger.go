// Package trigger provides a signal that wakes one goroutine. Signals that are sent
// before the goroutine wakes are combined into one.
package trigger

// Trigger notifies a goroutine that there is work to do. Any number of goroutines may
// call Set, and one goroutine receives from the channel that C returns. Set never blocks.
// Several calls of Set before the next receive count as one. Therefore, a receiver that
// reads the current state after each receive does not miss a change.
//
// Copies of a Trigger share the same signal. The zero value never sends a signal, so
// create a Trigger with New.
type Trigger struct{ c chan struct{} }

// New returns a trigger whose signal is not set.
func New() Trigger { return Trigger{c: make(chan struct{}, 1)} }

// Set makes the next receive from C return at once. If the signal is already set, Set does
// nothing.
func (t Trigger) Set() {
	select {
	case t.c <- struct{}{}:
	default:
	}
}

// C returns the channel that delivers the signal. Receiving from the channel clears the
// signal. The channel is never closed.
func (t Trigger) C() <-chan struct{} { return t.c }
