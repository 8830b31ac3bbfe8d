package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// connection knows whether the API server answers the caches. It sees each of
// their requests and makes none of its own: a node that asks whether the API
// server is well is one more burden when it is not.
//
// A server that falls silent without closing its connections is noticed when
// the client's HTTP/2 pings go unanswered, within 45 s by default.
type connection struct {
	log     logr.Logger
	metrics *metrics

	mu sync.Mutex
	// well are the kinds whose last request was answered.
	well map[kind]bool
	// lists counts the answers with all objects of a kind.
	lists map[kind]int
	// away is why and since when a request was not answered; nil while all
	// are well, and before the first.
	away  error
	since time.Time
}

func newConnection(log logr.Logger, m *metrics) *connection {
	return &connection{log: log, metrics: m, well: map[kind]bool{}, lists: map[kind]int{}}
}

// wrap gives a transport that watches the requests of another.
func (c *connection) wrap(next http.RoundTripper) http.RoundTripper {
	return &watchedTransport{connection: c, next: next}
}

// watchedTransport notes how requests for the watched kinds end.
type watchedTransport struct {
	connection *connection
	next       http.RoundTripper
}

// RoundTrip does a request.
func (t *watchedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(request)
	k, ok := kindOfRequest(request)
	switch {
	case !ok || errors.Is(request.Context().Err(), context.Canceled):
	case err != nil:
		t.connection.lost(k, err)
	case response.StatusCode == http.StatusOK:
		t.connection.answered(k)
		if lists(request) {
			t.connection.listed(k)
		}
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden,
		response.StatusCode == http.StatusTooManyRequests, response.StatusCode >= http.StatusInternalServerError:
		t.connection.lost(k, fmt.Errorf("listing %s objects: %s", k, response.Status))
	}
	return response, err
}

// WrappedRoundTripper gives the transport below, as client-go expects it.
func (t *watchedTransport) WrappedRoundTripper() http.RoundTripper { return t.next }

func kindOfRequest(request *http.Request) (kind, bool) {
	if request.Method != http.MethodGet {
		return "", false
	}
	for path, k := range resources {
		if strings.HasSuffix(request.URL.Path, path) {
			return k, true
		}
	}
	return "", false
}

// lists reports whether a request asks for all objects of a kind, as an answer
// or ahead of the changes that a watch tells of.
func lists(request *http.Request) bool {
	query := request.URL.Query()
	return query.Get("watch") != "true" || query.Get("sendInitialEvents") == "true"
}

// listed notes an answer with all objects of a kind.
func (c *connection) listed(k kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metrics.lists.WithLabelValues(string(k)).Inc()
	c.lists[k]++
	if c.lists[k] > 1 {
		c.log.Info("Lists anew: the watch cannot go on from where it was", "kind", k)
	}
}

func (c *connection) lost(k kind, reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.well[k] = false
	c.metrics.connected.WithLabelValues(string(k)).Set(0)
	if c.away != nil {
		return
	}
	c.away, c.since = reason, time.Now()
	c.log.Error(reason, "API server is away: the published tree stays in force")
}

func (c *connection) answered(k kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.well[k] = true
	c.metrics.connected.WithLabelValues(string(k)).Set(1)
	if c.away == nil || !c.complete() {
		return
	}
	c.log.Info("API server is back", "after", time.Since(c.since).Round(time.Millisecond).String())
	c.away = nil
}

func (c *connection) complete() bool {
	for _, k := range resources {
		if !c.well[k] {
			return false
		}
	}
	return true
}

// check is the readiness of the connection.
func (c *connection) check(*http.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.away != nil:
		return fmt.Errorf("the API server is away since %s: %w", c.since.UTC().Format(time.RFC3339), c.away)
	case !c.complete():
		return errors.New("the API server was not asked for everything yet")
	}
	return nil
}
