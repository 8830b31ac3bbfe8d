package bench_test

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/pace"
)

type engineConfig struct {
	StateDir string
	Config   engine.Config
}

// engineRequest contains a generation. The process of the engine replies to the request when
// this generation is acknowledged.
type engineRequest struct{ Generation uint64 }

// acknowledged contains the time of an acknowledgement, measured since the machine was booted.
// All processes of the machine use this clock.
type acknowledged struct{ At time.Duration }

// noEndpoints implements the endpoints of a dataplane without serving any endpoint.
type noEndpoints struct{}

func (noEndpoints) Acquired() error { return nil }
func (noEndpoints) Settled() error  { return nil }
func (noEndpoints) Yielded()        {}
func (noEndpoints) Replaced()       {}

// engineRole runs the dataplane's engine on a state directory.
func engineRole(in *json.Decoder, out *json.Encoder) error {
	config := engineConfig{Config: engine.Config{Log: logr.Discard()}}
	if err := in.Decode(&config); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	governor := pace.New(config.Config.Queues, logr.Discard())
	config.Config.Pacer = governor
	go governor.Run(ctx)
	dataplane, ended := engine.New(config.StateDir, config.Config, noEndpoints{}), make(chan error, 1)
	go func() { ended <- errors.Join(dataplane.Run(ctx), dataplane.Close()) }()
	again := time.NewTicker(500 * time.Microsecond)
	defer again.Stop()
	for request := (engineRequest{1}); ; {
		for {
			status, err := dataplane.Status()
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

// now returns the time since the machine was booted. This clock is the same for all processes.
func now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
