package node

import (
	"errors"
	"net/http"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/status"
)

// TestStandby checks that an agent that is not the leading agent compiles all objects and is ready,
// but publishes nothing until it becomes the leading agent.
func TestStandby(t *testing.T) {
	dir := t.TempDir()
	p := testPublisher(t, newState("n"), dir)
	p.mayPublish = false
	p.step()
	if got, err := statedir.Published(dir); got != 0 || err != nil {
		t.Errorf("published generation %d without leading, %v", got, err)
	}
	if err := p.check(&http.Request{}); err != nil {
		t.Errorf("not ready while another agent leads: %v", err)
	}
	p.startLeading()
	p.step()
	if got, err := statedir.Published(dir); got != 1 || err != nil {
		t.Errorf("published generation %d after it leads, %v", got, err)
	}
}

// TestFormatOfRunningDataplane checks that an agent publishes a tree only if the running
// dataplane can read its format. A dataplane whose status lists no formats can read only the
// first format.
func TestFormatOfRunningDataplane(t *testing.T) {
	dir := t.TempDir()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	d := newDataplane(dir, m, logr.Discard())
	if err := d.checkFormat(9); err != nil {
		t.Errorf("without a dataplane: %v", err)
	}
	var formats []uint64
	server, err := status.Serve(dir, status.Source{Status: func() (report.Status, error) { return report.Status{TreeFormats: formats}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	if err := d.checkFormat(firstFormat); err != nil {
		t.Errorf("an old dataplane reads the first format: %v", err)
	}
	if err := d.checkFormat(3); !errors.Is(err, errFormat) {
		t.Errorf("an old dataplane does not read format 3: %v", err)
	}
	p := testPublisher(t, newState("n"), dir)
	p.checkFormat = func(uint64) error { return d.checkFormat(3) }
	p.step()
	if got, _ := statedir.Published(dir); got != 0 {
		t.Errorf("published generation %d in a format that the dataplane does not read", got)
	}
	if got := p.failure(); !errors.Is(got, errFormat) {
		t.Errorf("failure %v", got)
	}
	formats = []uint64{2, 3}
	p.step()
	if got, _ := statedir.Published(dir); got != 1 {
		t.Errorf("published generation %d, want 1 after the dataplane was replaced", got)
	}
}
