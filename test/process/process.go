// Package process runs the programs that tests need: it starts a process, keeps
// the end of its output, and stops or kills it.
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
	// StopTime is how long a process may take to stop after SIGTERM before Stop
	// kills it.
	StopTime = 10 * time.Second
	// logSize is the number of bytes of output that are kept.
	logSize = 1 << 20
)

// Process is a started process.
type Process struct {
	name  string
	cmd   *exec.Cmd
	log   tail
	ended chan struct{}
}

// Start starts a command. The name is for messages. The function start starts
// the command somewhere else than here, such as Start of a lab.Node; nil means
// (*exec.Cmd).Start. The log gets standard output and standard error, except
// where the caller has set its own writer.
//
// The caller stops or kills the process, or waits until it ends.
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
		_ = cmd.Wait() // The result is in cmd.ProcessState.
		close(p.ended)
	}()
	return p, nil
}

// MustStart is Start for a test. At the end of the test it stops the process
// unless it has ended, and reports the error of Stop.
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

// Name returns the name that was given to Start.
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

// State returns how the process ended. It waits until then.
func (p *Process) State() *os.ProcessState {
	<-p.ended
	return p.cmd.ProcessState
}

// Log returns the last mebibyte of the output.
func (p *Process) Log() string { return p.log.text() }

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("sending %s to %s: %w", s, p.name, err)
	}
	return nil
}

// Wait waits until the process ends by itself. It returns an error with the log
// unless the exit code is 0.
func (p *Process) Wait() error {
	if state := p.State(); !state.Success() {
		return fmt.Errorf("%s failed (%s):\n%s", p.name, state, p.Log())
	}
	return nil
}

// Kill ends the process with SIGKILL and waits until it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // The only error means that the process has ended.
	<-p.ended
}

// Stop ends the process with SIGTERM and waits until it has ended. It returns an
// error with the log if the process had already ended, if its exit code is not
// 0, or if it was killed because it took longer than StopTime.
func (p *Process) Stop() error { return p.StopWithin(StopTime) }

// StopWithin is Stop with a limit other than StopTime.
func (p *Process) StopWithin(limit time.Duration) error {
	if p.HasEnded() {
		return fmt.Errorf("%s ended before it was stopped (%s):\n%s", p.name, p.cmd.ProcessState, p.Log())
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // The only error means that the process has ended.
	select {
	case <-p.ended:
		return p.Wait()
	case <-time.After(limit):
		p.Kill()
		return fmt.Errorf("%s did not stop within %s and was killed:\n%s", p.name, limit, p.Log())
	}
}

// Pause stops all threads of the process until Resume. The kernel keeps its
// sockets and memory.
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

// Resume lets a paused process continue.
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
		// The state follows the name, which is in parentheses. T means stopped.
		_, state, _ := strings.Cut(string(stat), ") ")
		if err == nil && !strings.HasPrefix(state, "T") {
			return fmt.Errorf("a thread of %s is not stopped: %s", p.name, stat)
		}
	}
	return nil
}
