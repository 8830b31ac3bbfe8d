package status

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
)

// stallTime is the time after which a dataplane counts as stalled if packets wait and no packet is
// evaluated. A worker needs only microseconds to evaluate a packet, so most of stallTime is a
// margin for overloaded machines.
const stallTime = 5 * time.Second

// Health serves the health checks of a dataplane:
//
//	GET /healthz   fails if packets wait and workers evaluate none of them
//	GET /readyz    fails while no generation is enforced, and while the published tree
//	               cannot be used; succeeds while this dataplane is on standby because
//	               another dataplane enforces policies and cannot hand over
//
// Until Follow is called, /readyz fails and /healthz succeeds.
type Health struct {
	source atomic.Pointer[func() (report.Status, error)]

	mu sync.Mutex
	// since is the start of the current period in which packets wait and no packet is evaluated.
	// It is the zero time while no packets wait. The `evaluated` field is the number of packets
	// that had been evaluated when the period started.
	evaluated uint64
	since     time.Time
	// now returns the current time. Tests replace it.
	now func() time.Time
}

// NewHealth returns a Health for a dataplane that is starting.
func NewHealth() *Health { return &Health{now: time.Now} }

// Follow sets the function that returns the dataplane's status. The health checks call this
// function.
func (h *Health) Follow(status func() (report.Status, error)) { h.source.Store(&status) }

// ServeHTTP implements http.Handler.
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var err error
	switch r.URL.Path {
	case "/healthz":
		err = h.alive()
	case "/readyz":
		err = h.ready()
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n") // Ignore the error: it means that the client is gone.
}

var errStarting = errors.New("the dataplane is starting")

func (h *Health) status() (report.Status, error) {
	source := h.source.Load()
	if source == nil {
		return report.Status{}, errStarting
	}
	return (*source)()
}

// alive returns an error if the dataplane has stalled, so that it must be restarted.
func (h *Health) alive() error {
	s, err := h.status()
	if errors.Is(err, errStarting) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the status: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	switch {
	case s.Verdicts.Waiting == 0:
		h.since = time.Time{}
		return nil
	case h.since.IsZero() || s.Verdicts.Packets != h.evaluated:
		h.evaluated, h.since = s.Verdicts.Packets, now
		return nil
	}
	if waited := now.Sub(h.since); waited > stallTime {
		return fmt.Errorf("%d packets are waiting, and none has been evaluated for %s", s.Verdicts.Waiting, waited.Round(time.Second))
	}
	return nil
}

// ready returns an error if the node does not enforce the published policies.
func (h *Health) ready() error {
	s, err := h.status()
	switch {
	case err != nil:
		return err
	case s.Standby:
		// Another dataplane enforces the policies. This dataplane takes over when the other
		// dataplane ends. A rollout stops the other dataplane only if this dataplane is ready, so
		// return no error.
		return nil
	case s.Rejected != nil:
		return fmt.Errorf("the published tree cannot be used; generation %d stays in use: %s", s.Generation, s.Rejected.Reason)
	case s.Generation == 0 && s.Published == 0:
		return errors.New("no tree is published yet: no policy is enforced by this process")
	case s.Generation == 0:
		return fmt.Errorf("generation %d is published, but not enforced yet", s.Published)
	}
	return nil
}
