// Package process runs other programs in tests. A Process keeps the last part of the program's
// output. A test can stop or kill the program.
//
//	dataplane, err := process.Start("dataplane", exec.Command(sluice, "dataplane"), node.Start)
//	...
//	if err := dataplane.Stop(); err != nil {
//		t.Error(err) // The error contains the log.
//	}
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluicenet/sluice/test/eventually"
)

const (
	// StopTime is the time within which a process must end after Stop has sent SIGTERM. After
	// this time, Stop kills the process.
	StopTime = 10 * time.Second
	// logSize is the maximum number of bytes of output that a Process keeps.
	logSize = 1 << 20
)

// Process is a process that the function Start has started.
type Process struct {
	name  string
	cmd   *exec.Cmd
	log   tail
	ended chan struct{}
}

// Start starts a command. The name appears in error messages. The `start` parameter is the
// function that starts the command. If it is nil, Start uses (*exec.Cmd).Start. For example, if it
// is the `Start` method of a lab.Node, the command runs in the network namespace of the node.
// Standard output and standard error go to the log, unless the caller has set cmd.Stdout or
// cmd.Stderr.
//
// The caller must stop the process, kill it, or wait until it ends.
func Start(name string, cmd *exec.Cmd, start func(*exec.Cmd) error) (*Process, error) {
	p := &Process{name: name, cmd: cmd, log: tail{size: logSize}, ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.log
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.log
	}
	if start == nil {
		start = (*exec.Cmd).Start
	}
	if err := start(cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = cmd.Wait() // cmd.ProcessState contains the result.
		close(p.ended)
	}()
	return p, nil
}

// MustStart does the same as Start, but fails the test if the process cannot be started. If the
// process is still running at the end of the test, MustStart stops it. The test fails if Stop
// returns an error.
func MustStart(t testing.TB, name string, cmd *exec.Cmd, start func(*exec.Cmd) error) *Process {
	t.Helper()
	p, err := Start(name, cmd, start)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.HasEnded() {
			return
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Name returns the name that the caller passed to Start.
func (p *Process) Name() string { return p.name }

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended returns a channel that is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// HasEnded reports whether the process has ended.
func (p *Process) HasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// State waits until the process has ended, and returns the exit state of the process.
func (p *Process) State() *os.ProcessState {
	<-p.ended
	return p.cmd.ProcessState
}

// Log returns the last mebibyte of the process's output.
func (p *Process) Log() string { return p.log.text() }

// Signal sends a signal to the process.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("sending %s to %s: %w", s, p.name, err)
	}
	return nil
}

// Wait waits until the process ends, but does not stop the process. If the exit code is not 0,
// Wait returns an error that contains the log.
func (p *Process) Wait() error {
	if state := p.State(); !state.Success() {
		return fmt.Errorf("%s failed (%s):\n%s", p.name, state, p.Log())
	}
	return nil
}

// Kill ends the process with SIGKILL and waits until it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // Ignore the error: Kill fails only if the process has ended.
	<-p.ended
}

// Stop ends the process with SIGTERM and waits until the process has ended. If the exit code is
// not 0, Stop returns an error that contains the log. It also returns such an error if the
// process had already ended before the call, or if the process did not end within StopTime and
// was killed.
func (p *Process) Stop() error { return p.StopWithin(StopTime) }

// StopWithin does the same as Stop, but uses the given limit instead of StopTime.
func (p *Process) StopWithin(limit time.Duration) error {
	if p.HasEnded() {
		return fmt.Errorf("%s ended before it was stopped (%s):\n%s", p.name, p.cmd.ProcessState, p.Log())
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // Ignore the error: Signal fails only if the process has ended.
	select {
	case <-p.ended:
		return p.Wait()
	case <-time.After(limit):
		p.Kill()
		return fmt.Errorf("%s did not stop within %s and was killed:\n%s", p.name, limit, p.Log())
	}
}

// Pause suspends all threads of the process until Resume is called or the test ends. The
// suspended process keeps its sockets and its memory.
func (p *Process) Pause(t testing.TB) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !p.HasEnded() {
			p.Resume(t)
		}
	})
	eventually.NoError(t, p.allThreadsStopped)
}

// Resume makes a suspended process continue.
func (p *Process) Resume(t testing.TB) {
	t.Helper()
	if err := p.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

func (p *Process) allThreadsStopped() error {
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID()))
	if err != nil {
		return err
	}
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		// In the file `stat`, the state follows the name of the program, which is in parentheses.
		// The state "T" means that the thread is stopped.
		_, state, _ := strings.Cut(string(stat), ") ")
		if err == nil && !strings.HasPrefix(state, "T") {
			return fmt.Errorf("a thread of %s is not stopped: %s", p.name, stat)
		}
	}
	return nil
}
