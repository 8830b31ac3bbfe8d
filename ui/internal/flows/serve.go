package flows

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	// gather is the time for which new events are gathered before they are sent.
	gather = 100 * time.Millisecond
	// idle is the time after which an empty comment is sent, so that a lost connection is noticed.
	idle = 20 * time.Second
)

// ServeHTTP sends the events to a browser as server-sent events, until the browser closes the
// connection. Each message is a Batch.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	last, _ := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64) // The header is absent in the first request.
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := http.NewResponseController(w)
	for {
		batch, changed := h.since(last)
		text, err := json.Marshal(batch)
		if err != nil {
			return
		}
		last = batch.Last
		if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", last, text); err != nil {
			return
		}
		if flusher.Flush() != nil || !wait(w, r, flusher, changed) {
			return
		}
	}
}

// wait returns true when there are new events, and false when the connection is closed.
func wait(w http.ResponseWriter, r *http.Request, flusher *http.ResponseController, changed <-chan struct{}) bool {
	for {
		select {
		case <-r.Context().Done():
			return false
		case <-changed:
			select {
			case <-r.Context().Done():
				return false
			case <-time.After(gather):
				return true
			}
		case <-time.After(idle):
			if _, err := fmt.Fprint(w, ":\n\n"); err != nil || flusher.Flush() != nil {
				return false
			}
		}
	}
}
