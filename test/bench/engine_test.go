package bench_test

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/engine"
	dataplanereport "github.com/sluicenet/sluice/dataplane/report"
)

type engineConfig struct {
	StateDir string
	Config   engine.Config
}

// engineRequest asks for a reply when a generation is acknowledged.
type engineRequest struct{ Generation uint64 }

// acknowledged contains the time, by the clock that all processes share.
type acknowledged struct{ At time.Duration }

// engineRole runs the engine of the dataplane on a state directory.
func engineRole(in *json.Decoder, out *json.Encoder) error {
	config := engineConfig{Config: engine.Config{Log: logr.Discard()}}
	if err := in.Decode(&config); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	running, ended := make(chan func() (dataplanereport.Status, error), 1), make(chan error, 1)
	go func() {
		ended <- engine.Run(ctx, config.StateDir, config.Config, func(status func() (dataplanereport.Status, error)) (io.Closer, error) {
			running <- status
			return nothing{}, nil
		})
	}()
	var read func() (dataplanereport.Status, error)
	select {
	case read = <-running:
	case err := <-ended:
		return err
	}
	again := time.NewTicker(500 * time.Microsecond)
	defer again.Stop()
	for request := (engineRequest{1}); ; {
		for {
			status, err := read()
			if err != nil {
				return err
			}
			if status.Generation >= request.Generation {
				break
			}
			select {
			case <-again.C:
			case err := <-ended:
				return err
			}
		}
		if err := out.Encode(acknowledged{now()}); err != nil {
			return err
		}
		if err := in.Decode(&request); err != nil {
			return err
		}
	}
}

type nothing struct{}

func (nothing) Close() error { return nil }

// now returns the time since the machine was booted.
func now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
