package status

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
)

func request(h http.Handler, path string) (code int, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestReadyWhileEnforcing(t *testing.T) {
	h := NewHealth()
	if code, body := request(h, "/readyz"); code != http.StatusServiceUnavailable || body != "the dataplane is starting" {
		t.Errorf("before Follow: %d %s", code, body)
	}
	if code, _ := request(h, "/healthz"); code != http.StatusOK {
		t.Errorf("before Follow, the dataplane is not alive: %d", code)
	}
	for name, tt := range map[string]struct {
		status report.Status
		err    error
		want   string
	}{
		"enforced":               {report.Status{Generation: 3, Published: 3}, nil, "ok"},
		"a newer tree published": {report.Status{Generation: 3, Published: 4}, nil, "ok"},
		"no tree":                {report.Status{}, nil, "no tree is published yet: no policy is enforced by this process"},
		"not enforced yet":       {report.Status{Published: 4, Seen: 4}, nil, "generation 4 is published, but not enforced yet"},
		"rejected tree": {
			report.Status{Generation: 3, Published: 4, Rejected: &report.RejectedTree{Reason: "too new"}},
			nil,
			"the published tree cannot be used; generation 3 stays in use: too new",
		},
		"no status": {report.Status{}, errors.New("no list"), "no list"},
	} {
		t.Run(name, func(t *testing.T) {
			h.Follow(func() (report.Status, error) { return tt.status, tt.err })
			code, body := request(h, "/readyz")
			if ok := code == http.StatusOK; body != tt.want || ok != (tt.want == "ok") {
				t.Errorf("%d %s, want %s", code, body, tt.want)
			}
		})
	}
	if code, _ := request(h, "/elsewhere"); code != http.StatusNotFound {
		t.Errorf("another path: %d", code)
	}
}

// The health check /healthz fails only if packets wait, and no packet is evaluated, for longer
// than stallTime.
func TestAliveUnlessNoWaitingPacketIsEvaluated(t *testing.T) {
	h := NewHealth()
	clock := time.Unix(0, 0)
	h.now = func() time.Time { return clock }
	for i, check := range []struct {
		after              time.Duration
		waiting, evaluated uint64
		want               int
	}{
		{0, 5, 100, http.StatusOK},
		{time.Minute, 5, 101, http.StatusOK},
		{stallTime, 5, 101, http.StatusOK},
		{time.Second, 5, 101, http.StatusServiceUnavailable},
		{time.Second, 0, 101, http.StatusOK},
		{time.Hour, 1, 101, http.StatusOK},
		{time.Second, 1, 102, http.StatusOK},
	} {
		clock = clock.Add(check.after)
		h.Follow(func() (report.Status, error) {
			return report.Status{Verdicts: report.Stats{Waiting: check.waiting, Packets: check.evaluated}}, nil
		})
		if code, body := request(h, "/healthz"); code != check.want {
			t.Errorf("check %d: %d %s, want %d", i, code, body, check.want)
		}
	}
}
