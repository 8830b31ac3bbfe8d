package demo

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/process"
)

// dataplane runs `sluice dataplane` as a process, with the same command that runs on a real
// node.
type dataplane struct {
	*process.Process
	stateDir string
}

const (
	// startTime is the maximum time until the dataplane enforces a tree.
	startTime = 10 * time.Second
	// stopTime is the maximum time until the dataplane stops after a signal. After this time,
	// the demo kills the process.
	stopTime = 3 * time.Second
)

func startDataplane(node *lab.Node, program, stateDir string) (*dataplane, error) {
	cmd := exec.Command(program, "dataplane", "--state-dir", stateDir)
	// The dataplane runs in its own process group. Otherwise Ctrl-C in a terminal would also
	// stop the dataplane, before the demo stops it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p, err := process.Start("the dataplane", cmd, node.Start)
	if err != nil {
		return nil, err
	}
	return &dataplane{p, stateDir}, nil
}

// enforces waits until the dataplane enforces a generation. It returns the status of the
// dataplane.
func (d *dataplane) enforces(ctx context.Context, generation uint64) (s report.Status, err error) {
	limit, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	limit, ended := context.WithCancelCause(limit)
	defer ended(nil)
	go func() {
		select {
		case <-d.Ended():
			ended(fmt.Errorf("the dataplane ended (%s)", d.State()))
		case <-limit.Done():
		}
	}()
	err = eventually.Poll(limit, func(limit context.Context) error {
		if s, err = status.Read(limit, d.stateDir); err == nil && s.Generation < generation {
			err = fmt.Errorf("it is at generation %d", s.Generation)
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("the dataplane does not enforce generation %d: %w\n%s", generation, err, d.Log())
	}
	return s, err
}

// stop stops the process. If the process does not end within stopTime, stop kills it.
func (d *dataplane) stop() {
	if !d.HasEnded() {
		_ = d.StopWithin(stopTime) // The results are complete, so the exit status does not matter.
	}
}
