package netpol_test

import (
	"context"
	"testing"
	"time"

	"github.com/sluicenet/sluice/test/labcluster"
)

// scenario is a test with its own fixture. Before it starts, every pod can connect to
// every other pod.
type scenario struct {
	targets []labcluster.Target
	play    func(*fixture)
}

// play runs scenarios, some of them in parallel.
func play(t *testing.T, scenarios map[string]scenario) {
	for name, sc := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t, theCluster, sc.targets...)
			s.holds("*/* -> */* allowed")
			sc.play(s)
		})
	}
}

// cleanup returns the context for calls after the end of a test.
func cleanup() context.Context { return context.Background() }

// probeTime is how long one connection may take.
const probeTime = 10 * time.Second
