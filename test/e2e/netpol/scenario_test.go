package netpol_test

import (
	"context"
	"testing"
	"time"

	"github.com/sluicenet/sluice/test/labcluster"
)

// scenario is a test that uses its own fixture. It starts without policies, so every pod can
// connect to every other pod.
type scenario struct {
	targets []labcluster.Target
	play    func(*fixture)
}

// play runs each scenario as a subtest. Subtests can run in parallel.
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

// cleanup returns a context for calls after the end of a test. At this time, the context of the
// test itself is already canceled.
func cleanup() context.Context { return context.Background() }

// probeTime is the maximum time until the result of a connection attempt is known.
const probeTime = 10 * time.Second
