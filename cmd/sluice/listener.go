package main

import (
	"fmt"
	"net"
	"net/http"
	"time"
)

// answerTimeout bounds how long one who asks over HTTP may take.
const answerTimeout = 10 * time.Second

// listener is an address at which a process answers; nil is none.
type listener struct{ net.Listener }

// listen takes the address of a flag. Nobody listens at an empty one.
func listen(flag, address string) (*listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening at %s: %w", flag, err)
	}
	return &listener{l}, nil
}

// serve answers by a handler until the listener is closed.
func (l *listener) serve(handler http.Handler) {
	if l == nil {
		return
	}
	server := http.Server{Handler: handler, ReadHeaderTimeout: answerTimeout, WriteTimeout: answerTimeout}
	go func() { _ = server.Serve(l) }() // It ends with net.ErrClosed, always.
}

func (l *listener) close() {
	if l != nil {
		_ = l.Close() // Nobody listens there any more, either way.
	}
}
