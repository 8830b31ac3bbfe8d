package netpol_test

import (
	"context"
	"testing"
	"time"

	"github.com/sluicenet/sluice/test/labcluster"
)

// scenario is a play on a stage of its own. Before it begins, everybody reaches
// everybody.
type scenario struct {
	targets []labcluster.Target
	play    func(*setup)
}

// play runs scenarios by name, some of them at once.
func play(t *testing.T, scenarios map[string]scenario) {
	for name, sc := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, theCluster, sc.targets...)
			s.holds("*/* -> */* allowed")
			sc.play(s)
		})
	}
}

// cleanup is for what is done after a test.
func cleanup() context.Context { return context.Background() }

// probeTime is how long one connection may take.
const probeTime = 10 * time.Second
