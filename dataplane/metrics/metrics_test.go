package metrics_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/sluicenet/sluice/dataplane/metrics"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/test/golden"
)

func scrape(t *testing.T, status func() (report.Status, error)) *httptest.ResponseRecorder {
	t.Helper()
	response := httptest.NewRecorder()
	metrics.Handler(status).ServeHTTP(response, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	return response
}

func TestMetricsText(t *testing.T) {
	response := scrape(t, func() (report.Status, error) {
		return report.Status{
			Published: 8, Seen: 7, Generation: 6, Rejected: &report.RejectedTree{}, Pods: 30, IsolatedPods: 12, Repairs: 2, Unevaluated: 7,
			Conntrack: &report.Conntrack{Entries: 900, Max: 1000},
			Held: report.Held{
				Limit: 3 * time.Second, Waiting: 2, Released: 40, NotPods: 7, TimedOut: 3, NoAgent: 4, OverLimit: 5, PeersAllowed: 8, PeersDenied: 9, PeersOverLimit: 11, Repeated: 6, Unreadable: 1,
				Learned: []string{"docker0"}, AgentGone: true,
			},
			Flooding: []report.FloodingPod{
				{Pod: "default/crawler", Direction: "egress", PerSecond: 40000}, {Pod: "default/crawler", Direction: "egress", PerSecond: 9000}, {Direction: "ingress", PerSecond: 5000},
			},
			Reevaluated: report.Reevaluated{Walks: 3, Accepted: 4, Denied: 5, Cleared: 6, Took: 30 * time.Millisecond, Last: &report.Walk{}},
			Verdicts: report.Stats{
				Accepted: 10, Denied: 20, MidStream: 3, VerdictErrors: 1, QueueDropped: 4, SocketDropped: 5, Waiting: 6,
				FloodQueue: &report.FloodQueue{Packets: 70, Dropped: 80, Waiting: 90},
				Unreadable: map[string]uint64{"fragment": 1, "truncated": 2},
				Sides: []report.SideCount{
					{Direction: "ingress", Family: "IPv4", Protocol: "TCP", Verdict: "Deny", Count: 20},
					{Direction: "ingress", Family: "IPv4", Protocol: "TCP", Verdict: "Allow", Count: 10},
				},
				LookupTimes: report.Histogram{Count: 3, Sum: 900, Buckets: map[time.Duration]uint64{250: 1, 500: 2}},
				BatchTimes:  report.Histogram{Count: 1, Sum: 5000, Buckets: map[time.Duration]uint64{4000: 0, 8000: 1}},
			},
		}, nil
	})
	if response.Code != http.StatusOK {
		t.Fatalf("%d: %s", response.Code, response.Body)
	}
	problems, err := promlint.New(bytes.NewReader(response.Body.Bytes())).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("names: %v, %v", problems, err)
	}
	var got strings.Builder
	process := false
	for line := range strings.Lines(response.Body.String()) {
		if strings.Contains(line, "sluice_") {
			got.WriteString(line)
		}
		process = process || strings.HasPrefix(line, "process_cpu_seconds_total ")
	}
	if !process {
		t.Error("no metrics of the process")
	}
	golden.Compare(t, filepath.Join("testdata", "metrics.golden"), got.String())
}

func TestScrapeFailsWithoutStatus(t *testing.T) {
	response := scrape(t, func() (report.Status, error) { return report.Status{}, errors.New("no list of queues") })
	if response.Code != http.StatusInternalServerError || !strings.Contains(response.Body.String(), "no list of queues") {
		t.Errorf("%d: %s, want the failure", response.Code, response.Body)
	}
}
