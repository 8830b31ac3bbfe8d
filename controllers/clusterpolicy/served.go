package clusterpolicy

import (
	"sync"

	"github.com/sluicenet/sluice/internal/trigger"
)

// Served records the API version in which to read ClusterNetworkPolicies. It is safe for concurrent
// use.
type Served struct {
	changed trigger.Trigger

	mu      sync.Mutex
	version string
}

// NewServed returns a Served without a version.
func NewServed() *Served { return &Served{changed: trigger.New()} }

// Set records the current CustomResourceDefinition. A CustomResourceDefinition that was just
// installed may serve no supported version yet. Set then keeps the previous version.
func (s *Served) Set(d *Definition) {
	if d.Version != "" {
		s.set(d.Version)
	}
}

// Remove records that the CustomResourceDefinition does not exist.
func (s *Served) Remove() { s.set("") }

func (s *Served) set(version string) {
	s.mu.Lock()
	s.version = version
	s.mu.Unlock()
	s.changed.Set()
}

// Version returns the API version in which to read ClusterNetworkPolicies. It returns "" if the API
// server has no ClusterNetworkPolicies.
func (s *Served) Version() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// Changed returns a channel that delivers a signal after the version may have changed.
func (s *Served) Changed() <-chan struct{} { return s.changed.C() }
