package engine

import (
	"sync/atomic"

	"github.com/go-logr/logr"
)

// held is a generation with those who judge by it: the workers, and the walk
// over open connections. The last of them closes it.
type held struct {
	Generation
	log   logr.Logger
	users atomic.Int32
}

// hold gives a generation its first user.
func hold(g Generation, log logr.Logger) *held {
	h := &held{Generation: g, log: log}
	h.users.Store(1)
	return h
}

// share adds a user. Only a user may do so.
func (h *held) share() *held {
	h.users.Add(1)
	return h
}

// release is called by each user once, when it judges by something else.
func (h *held) release() {
	if h == nil || h.users.Add(-1) > 0 || h.Close == nil {
		return
	}
	if err := h.Close(); err != nil {
		h.log.Error(err, "closing a tree that is not used any more", "generation", h.Number)
	}
}
