package node

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/test/eventually"
)

// TestAcknowledgementByStartingDataplane publishes a tree before the dataplane responds, as it happens
// when both containers of a pod start. The agent must soon read the acknowledgement of the dataplane,
// and not only after maxPoll.
func TestAcknowledgementByStartingDataplane(t *testing.T) {
	dir := t.TempDir()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	var failed atomic.Int32
	log := funcr.New(func(_, args string) {
		if strings.Contains(args, "does not respond") {
			failed.Add(1)
		}
	}, funcr.Options{Verbosity: 1})
	d := newDataplane(dir, m, log)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = d.run(ctx) })
	d.published(publication{generation: 1, at: time.Now()})
	eventually.True(t, "the agent has read the status before and after the publication", func() bool { return failed.Load() >= 3 })

	server, err := status.Serve(dir, status.Source{Status: func() (report.Status, error) { return report.Status{Generation: 1}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	began := time.Now()
	eventually.True(t, "the agent has read the status", func() bool { return d.status() != nil })
	if took := time.Since(began); took > maxPoll/2 {
		t.Errorf("the agent read the acknowledgement after %s, want less than %s", took, maxPoll/2)
	}
}
