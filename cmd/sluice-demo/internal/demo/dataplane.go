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

// dataplane runs `sluice dataplane` as a process, with the same command as on a
// real node.
type dataplane struct {
	*process.Process
	stateDir string
}

const (
	// startTime is the time within which the dataplane must enforce a tree.
	startTime = 10 * time.Second
	// stopTime is the time within which the dataplane must stop. After that the demo
	// kills the process.
	stopTime = 3 * time.Second
)

func startDataplane(node *lab.Node, program, stateDir string) (*dataplane, error) {
	cmd := exec.Command(program, "dataplane", "--state-dir", stateDir)
	// The dataplane runs in its own process group. Otherwise Ctrl-C in a terminal
	// would also stop the dataplane, before the demo does so itself.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p, err := process.Start("the dataplane", cmd, node.Start)
	if err != nil {
		return nil, err
	}
	return &dataplane{p, stateDir}, nil
}

// enforces waits until the dataplane enforces a generation and returns the status
// of the dataplane.
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

// stop stops the process, and kills it if it does not stop within stopTime.
func (d *dataplane) stop() {
	if !d.HasEnded() {
		_ = d.StopWithin(stopTime) // The results are complete, so the exit status does not matter.
	}
}
