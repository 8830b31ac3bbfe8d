// Package connection tracks whether the API server responds to the requests of an agent.
package connection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// Connection tracks whether the API server responds to the requests of the caches. It only
// observes these requests. It sends no requests itself, because additional requests from all
// nodes would burden an API server that is already overloaded.
//
// If a server stops responding without closing its connections, the HTTP/2 pings of the client
// detect this within 45 s by default.
type Connection struct {
	log       logr.Logger
	connected *prometheus.GaugeVec
	responses *prometheus.CounterVec

	mu sync.Mutex
	// succeeded reports, for each Kind, whether the last request succeeded.
	succeeded map[Kind]bool
	// For each Kind, the `lists` field contains the number of responses with all objects of the
	// kind.
	lists map[Kind]int
	// The `failure` field is the error of a failed request, and the `since` field is the time of
	// this error. Later errors change neither field. When the last request of every kind has
	// succeeded, `failure` becomes nil.
	failure error
	since   time.Time
	// Requests that are not for a watched kind, such as renewals of the Lease, show whether the API
	// server responds at all. The `unreachable` field is true if the last such request got no
	// response. The `reachable` field is the time of the first response after such a failure.
	unreachable bool
	reachable   time.Time
}

// New returns a Connection. For each kind, the gauge `connected` is 1 while the requests succeed,
// and otherwise 0. For each kind, the counter `lists` is the number of responses that contain all
// objects of the kind. The kind is the only label of both metrics.
func New(log logr.Logger, connected *prometheus.GaugeVec, lists *prometheus.CounterVec) *Connection {
	return &Connection{log: log, connected: connected, responses: lists, succeeded: map[Kind]bool{}, lists: map[Kind]int{}}
}

// Wrap returns a transport that sends requests through the transport `next` and observes their
// results.
func (c *Connection) Wrap(next http.RoundTripper) http.RoundTripper {
	return &watchedTransport{connection: c, next: next}
}

// watchedTransport records the results of requests for the kinds that the agent watches.
type watchedTransport struct {
	connection *Connection
	next       http.RoundTripper
}

// RoundTrip executes a request and records its result.
func (t *watchedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(request)
	k, ok := kindOf(request)
	switch {
	case errors.Is(request.Context().Err(), context.Canceled):
	case !ok:
		t.connection.tried(err)
	case err != nil:
		t.connection.failed(k, err)
	case response.StatusCode == http.StatusOK:
		t.connection.responded(k)
		if isList(request) {
			t.connection.listed(k)
		}
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden,
		response.StatusCode == http.StatusTooManyRequests, response.StatusCode >= http.StatusInternalServerError:
		t.connection.failed(k, fmt.Errorf("listing %s objects: %s", k, response.Status))
	}
	return response, err
}

// WrappedRoundTripper returns the inner transport. client-go requires this method.
func (t *watchedTransport) WrappedRoundTripper() http.RoundTripper { return t.next }

// isList reports whether the response to a request contains all objects of a kind. This is
// true for a list and for a watch with initial events.
func isList(request *http.Request) bool {
	query := request.URL.Query()
	return query.Get("watch") != "true" || query.Get("sendInitialEvents") == "true"
}

// listed records a response that contains all objects of a kind.
func (c *Connection) listed(k Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.responses.WithLabelValues(string(k)).Inc()
	c.lists[k]++
	if c.lists[k] > 1 {
		c.log.Info("Relisting: the watch could not continue where it ended", "kind", k)
	}
}

func (c *Connection) failed(k Kind, reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.succeeded[k] = false
	c.connected.WithLabelValues(string(k)).Set(0)
	if c.failure != nil {
		return
	}
	c.failure, c.since = reason, time.Now()
	c.log.Error(reason, "API server cannot be reached: the published tree remains enforced")
}

func (c *Connection) responded(k Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.succeeded[k] = true
	c.connected.WithLabelValues(string(k)).Set(1)
	c.clear()
}

// clear sets `failure` to nil if the last request of every kind succeeded. The caller must hold the
// mutex.
func (c *Connection) clear() {
	if c.failure == nil || !c.complete() {
		return
	}
	c.log.Info("API server can be reached again", "after", time.Since(c.since).Round(time.Millisecond).String())
	c.failure = nil
}

// tried records the result of a request that is not for a watched kind.
func (c *Connection) tried(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unreachable && err == nil {
		c.reachable = time.Now()
	}
	c.unreachable = err != nil
}

// Forget records that the agent no longer reads a kind.
func (c *Connection) Forget(k Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.succeeded, k)
	delete(c.lists, k)
	c.connected.DeleteLabelValues(string(k))
	c.clear()
}

// complete reports whether the last request of every kind succeeded.
func (c *Connection) complete() bool {
	for _, k := range byPath {
		if !c.succeeded[k] {
			return false
		}
	}
	return !slices.Contains(slices.Collect(maps.Values(c.succeeded)), false)
}

// failureDelay is the time after which a failure appears in the status of the node. After an outage
// of the API server, client-go waits for up to a minute before it watches objects again. The delay
// is longer than this minute, so that an outage does not make every node write its status twice.
const failureDelay = 75 * time.Second

// LastingFailure is like Check, but returns nil until a failure has lasted for failureDelay. The
// time during which the API server did not respond at all does not count towards failureDelay.
func (c *Connection) LastingFailure() error {
	c.mu.Lock()
	recent := c.failure != nil && (c.unreachable || time.Since(c.since) < failureDelay || time.Since(c.reachable) < failureDelay)
	c.mu.Unlock()
	if recent {
		return nil
	}
	return c.Check(nil)
}

// Check is a readiness check. It returns an error unless the last request of every kind
// succeeded.
func (c *Connection) Check(*http.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.failure != nil:
		return fmt.Errorf("the API server cannot be reached since %s: %w", c.since.UTC().Format(time.RFC3339), c.failure)
	case !c.complete():
		return errors.New("not all kinds of objects have been requested yet")
	}
	return nil
}
