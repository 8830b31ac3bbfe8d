package labcluster

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopTime is how long a process may take to stop before it is killed.
const stopTime = 10 * time.Second

// Process is an agent or a dataplane.
type Process struct {
	what  string
	cmd   *exec.Cmd
	log   tail
	ended chan struct{}
}

// startProcess starts a command by a function that sees to it that it dies with
// this process.
func startProcess(what string, cmd *exec.Cmd, start func(*exec.Cmd) error) (*Process, error) {
	p := &Process{what: what, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	// Ctrl-C is for this process, which then stops the others.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := start(cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", what, err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Log is the end of what it wrote.
func (p *Process) Log() string { return p.log.text() }

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

// starter starts processes from one thread that lives as long as it: the signal
// at a parent's death comes when the starting thread ends (prctl(2),
// PR_SET_PDEATHSIG).
type starter struct {
	calls chan func()
	done  chan struct{}
}

func newStarter() *starter {
	s := &starter{calls: make(chan func()), done: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(s.done)
		for call := range s.calls {
			call()
		}
	}()
	return s
}

func (s *starter) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	err := errors.New("not started")
	ran := make(chan struct{})
	s.calls <- func() { err = cmd.Start(); close(ran) }
	<-ran
	return err
}

func (s *starter) close() {
	close(s.calls)
	<-s.done
}

// tail keeps the end of what a process writes.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailSize = 64 << 10

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - tailSize; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.buf.String())
}
