package node

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/policy"
)

// sandboxes reads the list of pod sandboxes that the dataplane publishes in the state
// directory, and applies the list to the state.
type sandboxes struct {
	stateDir string
	state    *state
	metrics  *metrics
	log      logr.Logger
	// loaded is closed after the first read.
	loaded chan struct{}

	// mu guards the fields below.
	mu sync.Mutex
	// published is true once the dataplane has published a list. The `last` field is the newest
	// list. If a newer list exists but cannot be read, the `err` field is the error.
	published bool
	last      report.Sandboxes
	err       error
}

func newSandboxes(s *state, stateDir string, m *metrics, log logr.Logger) *sandboxes {
	return &sandboxes{state: s, stateDir: stateDir, metrics: m, log: log, loaded: make(chan struct{})}
}

// load applies the current list of sandboxes, so that the first tree contains these sandboxes.
func (s *sandboxes) load() {
	if now, err := statedir.ReadSandboxes(s.stateDir); !errors.Is(err, fs.ErrNotExist) {
		s.set(now, err)
	}
	close(s.loaded)
}

// run applies each published list of sandboxes until the context ends.
func (s *sandboxes) run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.loaded:
	}
	return statedir.WatchSandboxes(ctx, s.stateDir, s.set)
}

// set applies a list of sandboxes. If the list cannot be read, the previous list remains.
func (s *sandboxes) set(now report.Sandboxes, err error) {
	s.mu.Lock()
	if err != nil && (s.err == nil || s.err.Error() != err.Error()) {
		s.log.Error(err, "The sandboxes of the node cannot be read: the agent continues with the previous ones")
	}
	s.err = err
	if err == nil {
		s.published, s.last = true, now
	}
	s.mu.Unlock()
	if err != nil {
		return
	}
	var list []policy.Sandbox
	if now.Available {
		list = make([]policy.Sandbox, 0, len(now.Sandboxes))
	}
	for _, in := range now.Sandboxes {
		list = append(list, policy.Sandbox{Namespace: in.Namespace, Name: in.Name, UID: in.UID, Interface: in.Interface, Addresses: in.Addresses})
	}
	s.metrics.sandboxes.Set(float64(len(list)))
	s.state.setSandboxes(list, now.Routed)
}

// newest returns the newest list of sandboxes, or nil before the first list. If a newer list
// exists but cannot be read, newest also returns the error.
func (s *sandboxes) newest() (*report.Sandboxes, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.published {
		return nil, s.err
	}
	last := s.last
	return &last, s.err
}
