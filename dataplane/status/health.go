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

// stallTime is how long packets may wait while none is judged. A packet takes
// microseconds; the rest is room for a machine that is overcommitted.
const stallTime = 5 * time.Second

// Health answers whether a dataplane lives and whether it enforces:
//
//	GET /healthz   fails when workers judge none of the packets that wait
//	GET /readyz    fails while no generation is in force, or the published tree
//	               cannot be used
//
// It is not ready before it is told where to look.
type Health struct {
	source atomic.Pointer[func() (report.Status, error)]

	mu sync.Mutex
	// judged is how many packets were judged, since when that stays the same
	// although packets wait; zero while none do.
	judged uint64
	since  time.Time
	now    func() time.Time
}

// NewHealth makes the health of a dataplane that starts.
func NewHealth() *Health { return &Health{now: time.Now} }

// Follow lets the health be that of a status from now on.
func (h *Health) Follow(status func() (report.Status, error)) { h.source.Store(&status) }

// ServeHTTP answers.
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
	_, _ = io.WriteString(w, "ok\n") // The client is gone: nobody is left to tell.
}

var errStarting = errors.New("the dataplane is starting")

func (h *Health) status() (report.Status, error) {
	source := h.source.Load()
	if source == nil {
		return report.Status{}, errStarting
	}
	return (*source)()
}

// alive fails when nothing but a restart helps.
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
	case h.since.IsZero() || s.Verdicts.Packets != h.judged:
		h.judged, h.since = s.Verdicts.Packets, now
		return nil
	}
	if waited := now.Sub(h.since); waited > stallTime {
		return fmt.Errorf("%d packets wait, and none was judged for %s", s.Verdicts.Waiting, waited.Round(time.Second))
	}
	return nil
}

// ready fails while the node does not enforce what is published.
func (h *Health) ready() error {
	s, err := h.status()
	switch {
	case err != nil:
		return err
	case s.Rejected != nil:
		return fmt.Errorf("the published tree cannot be used; generation %d stays in force: %s", s.Generation, s.Rejected.Reason)
	case s.Generation == 0 && s.Published == 0:
		return errors.New("no tree is published yet: no policy is enforced by this process")
	case s.Generation == 0:
		return fmt.Errorf("generation %d is published and not in force yet", s.Published)
	}
	return nil
}
