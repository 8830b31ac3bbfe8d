// Package trigger provides a signal that wakes one goroutine. Signals that are sent before
// the goroutine wakes are combined into one signal.
package trigger

// Trigger notifies a goroutine that there is work to do. Any number of goroutines may call Set,
// and one goroutine receives from the channel that C returns. Set never blocks. If Set is called
// several times before the next receive, the goroutine receives only one signal. No change is lost
// if the goroutine reads the current state after each receive.
//
// Copies of a Trigger share the same signal. The zero value never sends a signal, so create a
// Trigger with New.
type Trigger struct{ c chan struct{} }

// New returns a trigger without a pending signal.
func New() Trigger { return Trigger{c: make(chan struct{}, 1)} }

// Set sends the signal, which completes the current or the next receive from the channel that C
// returns. If the signal is already pending, Set does nothing.
func (t Trigger) Set() {
	select {
	case t.c <- struct{}{}:
	default:
	}
}

// C returns the channel that delivers the signal. A receive from the channel clears the
// signal. The channel is never closed.
func (t Trigger) C() <-chan struct{} { return t.c }
