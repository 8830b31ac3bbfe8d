// Package answer serves the answers that the page of sluice ui shows, as JSON. All answers come from
// package query and its subpackages.
package answer

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/ui/internal/flows"
	"github.com/sluicenet/sluice/ui/source"
)

// Server serves answers. Its methods may be called concurrently.
type Server struct {
	source source.Source
	hub    *flows.Hub
	// ctx ends the streams of flow events.
	ctx context.Context

	// first serializes the first reading of the source.
	first sync.Mutex

	mu      sync.Mutex
	view    *view
	reports reports
	// read is the time at which the source was read last, and err is the error at this time.
	read      time.Time
	err       error
	reading   bool
	addresses map[netip.Addr]flows.End
}

// New returns a server for a source. The context ends the streams of flow events.
func New(ctx context.Context, s source.Source) *Server {
	server := &Server{source: s, ctx: ctx}
	server.hub = flows.NewHub(s, server.resolve)
	return server
}

// Load reads the source for the first time, so that the first page need not wait.
func (s *Server) Load(ctx context.Context) error {
	v, err := s.current(ctx)
	if err == nil {
		s.release(v)
	}
	return err
}

// Handler returns the handler for all paths that begin with /api/.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /api/overview", s.answer(s.overview))
	mux.Handle("GET /api/map", s.answer(s.reachMap))
	mux.Handle("GET /api/peers", s.answer(s.peers))
	mux.Handle("GET /api/explain", s.answer(s.explain))
	mux.Handle("GET /api/allow", s.answer(s.allow))
	mux.Handle("GET /api/policies", s.answer(s.policies))
	mux.Handle("GET /api/policy", s.answer(s.policy))
	mux.Handle("GET /api/uses", s.answer(s.uses))
	mux.Handle("POST /api/draft", s.answer(s.draft))
	mux.HandleFunc("GET /api/flows", func(w http.ResponseWriter, r *http.Request) {
		s.hub.Start(s.ctx)
		s.hub.ServeHTTP(w, r)
	})
	return mux
}

// answer returns a handler that computes an answer from the current view.
func (s *Server) answer(compute func(v *view, r *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := s.current(r.Context())
		if err != nil {
			writeError(w, err)
			return
		}
		defer s.release(v)
		result, err := compute(v, r)
		if err != nil {
			writeError(w, err)
			return
		}
		write(w, http.StatusOK, result)
	})
}

func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var wrong *query.InputError
	var forbidden *live.ForbiddenError
	switch {
	case errors.As(err, &wrong):
		status = http.StatusBadRequest
	case errors.As(err, &forbidden):
		status = http.StatusForbidden
	}
	write(w, status, map[string]string{"error": err.Error()})
}

func write(w http.ResponseWriter, status int, result any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(result) // An error means that the browser has closed the connection.
}

func (s *Server) reachMap(v *view, _ *http.Request) (any, error) { return v.reachMap() }
