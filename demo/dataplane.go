package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/test/lab"
)

// dataplane is the real one: this program, started as a node starts it.
type dataplane struct {
	cmd      *exec.Cmd
	stateDir string
	log      *lab.Tail
	// ended is closed when the process has ended.
	ended chan struct{}
}

const (
	// startTime bounds how long the dataplane may take to enforce a tree.
	startTime = 10 * time.Second
	// stopTime is how long it may take to stop before it is killed.
	stopTime = 3 * time.Second
	// poll is how often it is asked how far it is.
	poll = time.Millisecond
	// logSize is how many bytes of what it writes are kept.
	logSize = 8 << 10
)

func startDataplane(node *lab.Node, program, stateDir string) (*dataplane, error) {
	d := &dataplane{
		cmd:      exec.Command(program, "dataplane", "--state-dir", stateDir),
		stateDir: stateDir,
		log:      lab.NewTail(logSize),
		ended:    make(chan struct{}),
	}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	// Ctrl-C is for the demo, which then stops the dataplane.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := node.Start(d.cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.ended)
	}()
	return d, nil
}

// enforces waits until the dataplane says that it enforces a generation.
func (d *dataplane) enforces(ctx context.Context, generation uint64) (engine.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	again := time.NewTicker(poll)
	defer again.Stop()
	last := status.ErrNotRunning
	for {
		s, err := status.Read(ctx, d.stateDir)
		if err == nil && s.Generation >= generation {
			return s, nil
		}
		if err == nil {
			err = fmt.Errorf("it is at generation %d", s.Generation)
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-d.ended:
			return s, fmt.Errorf("the dataplane ended (%s):\n%s", d.cmd.ProcessState, d.log.Text())
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return s, fmt.Errorf("the dataplane does not enforce generation %d after %s: %w\n%s", generation, startTime, last, d.log.Text())
			}
			return s, ctx.Err()
		case <-again.C:
		}
	}
}

// stop ends the process.
func (d *dataplane) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(stopTime):
		_ = d.cmd.Process.Signal(os.Kill)
		<-d.ended
	}
}
