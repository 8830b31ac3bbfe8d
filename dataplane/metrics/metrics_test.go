package metrics_test

import (
	"bytes"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/metrics"
	"github.com/sluicenet/sluice/dataplane/queue"
)

var update = flag.Bool("update", false, "write the golden file anew")

func ask(t *testing.T, status func() (engine.Status, error)) *httptest.ResponseRecorder {
	t.Helper()
	answer := httptest.NewRecorder()
	metrics.Handler(status).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	return answer
}

func TestText(t *testing.T) {
	answer := ask(t, func() (engine.Status, error) {
		return engine.Status{
			Published: 8, Seen: 7, Generation: 6, Refused: &engine.RefusedTree{}, Pods: 30, IsolatedPods: 12, Repairs: 2, Unjudged: 7,
			JudgedAgain: engine.JudgedAgain{Walks: 3, Accepted: 4, Refused: 5, Cleared: 6, Took: 30 * time.Millisecond, Last: &engine.Walk{Result: conntrack.Result{}}},
			Verdicts: queue.Stats{
				Accepted: 10, Refused: 20, MidStream: 3, VerdictErrors: 1, QueueDropped: 4, SocketDropped: 5, Waiting: 6,
				Unreadable: map[string]uint64{"fragment": 1, "truncated": 2},
				Sides: []queue.SideCount{
					{Direction: "ingress", Family: "IPv4", Protocol: "TCP", Verdict: "Deny", Count: 20},
					{Direction: "ingress", Family: "IPv4", Protocol: "TCP", Verdict: "Allow", Count: 10},
				},
				LookupTimes: queue.Histogram{Count: 3, Sum: 900, Buckets: map[time.Duration]uint64{250: 1, 500: 2}},
				BatchTimes:  queue.Histogram{Count: 1, Sum: 5000, Buckets: map[time.Duration]uint64{4000: 0, 8000: 1}},
			},
		}, nil
	})
	if answer.Code != http.StatusOK {
		t.Fatalf("%d: %s", answer.Code, answer.Body)
	}
	problems, err := promlint.New(bytes.NewReader(answer.Body.Bytes())).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("names: %v, %v", problems, err)
	}
	var got strings.Builder
	process := false
	for line := range strings.Lines(answer.Body.String()) {
		if strings.Contains(line, "sluice_") {
			got.WriteString(line)
		}
		process = process || strings.HasPrefix(line, "process_cpu_seconds_total ")
	}
	if !process {
		t.Error("no metrics of the process")
	}
	path := filepath.Join("testdata", "metrics.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// Every metric that an operator can meet is explained, and none that is not
// there.
func TestDocumented(t *testing.T) {
	golden, err := os.ReadFile(filepath.Join("testdata", "metrics.golden"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for line := range strings.Lines(string(golden)) {
		if name, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, _, _ = strings.Cut(name, " ")
			want = append(want, name)
		}
	}
	table, _, _ := strings.Cut(string(doc), "## What to alert on")
	for line := range strings.Lines(table) {
		if name, ok := strings.CutPrefix(line, "| `sluice_"); ok {
			name, _, _ = strings.Cut("sluice_"+name, "`")
			name, _, _ = strings.Cut(name, "{")
			got = append(got, name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table of docs/operations.md, by name (-metrics +documented):\n%s", diff)
	}
}

func TestFailure(t *testing.T) {
	answer := ask(t, func() (engine.Status, error) { return engine.Status{}, errors.New("no list of queues") })
	if answer.Code != http.StatusInternalServerError || !strings.Contains(answer.Body.String(), "no list of queues") {
		t.Errorf("%d: %s, want the failure", answer.Code, answer.Body)
	}
}
