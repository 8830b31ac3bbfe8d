package labcluster

import (
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/test/lab"
)

// stopTime is how long a process may take to stop before it is killed.
const stopTime = 10 * time.Second

// logSize is how many bytes of what a process writes are kept.
const logSize = 64 << 10

// Process is an agent or a dataplane, as its container.
type Process struct {
	what  string
	cmd   *exec.Cmd
	log   *lab.Tail
	ended chan struct{}
}

// wait notes when the process ends.
func (p *Process) wait() {
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Log is the end of what it wrote.
func (p *Process) Log() string { return p.log.Text() }

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends it without a chance to do anything.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // The only error is that it has ended.
	<-p.ended
}

// Stop ends it as a node does. It is an error if it does not end by itself, or
// had ended before.
func (p *Process) Stop() error {
	select {
	case <-p.ended:
		return fmt.Errorf("the %s ended by itself (%s):\n%s", p.what, p.cmd.ProcessState, p.Log())
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopTime):
		p.Kill()
		return fmt.Errorf("the %s does not end within %s:\n%s", p.what, stopTime, p.Log())
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("the %s ended badly (%s):\n%s", p.what, p.cmd.ProcessState, p.Log())
	}
	return nil
}
