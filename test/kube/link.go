package kube

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// Link is a TCP proxy between clients and the API server. A test can cut the link to
// simulate a broken network between a node and its control plane. The proxy does not
// terminate TLS.
type Link struct {
	address string // the address of the link
	listen  Listen
	target  string // the address of the API server

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]struct{}
	carrying sync.WaitGroup
}

// Link starts a link to the API server that config names. It also returns a copy of
// config for clients that connect through the link. The link is cut when the test
// ends.
func (*Server) Link(t testing.TB, config *rest.Config) (*Link, *rest.Config) {
	t.Helper()
	l, through, err := NewLink(config, net.Listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Cut(); err != nil {
			t.Error(err)
		}
	})
	return l, through
}

// Listen opens a listener, like net.Listen, possibly in another network namespace.
type Listen func(network, address string) (net.Listener, error)

// NewLink does the same as Link, but for programs that are not tests. The caller must
// cut the link at the end. The link listens on 127.0.0.1, in the network namespace in
// which the function listen opens listeners.
func NewLink(config *rest.Config, listen Listen) (*Link, *rest.Config, error) {
	server, err := url.Parse(config.Host)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the API server's address: %w", err)
	}
	l := &Link{address: "127.0.0.1:0", listen: listen, target: server.Host, open: make(map[net.Conn]struct{})}
	if err := l.Restore(); err != nil {
		return nil, nil, err
	}
	through := rest.CopyConfig(config)
	through.Host = "https://" + l.address
	return l, through, nil
}

// Cut closes all connections and stops listening. The link stays cut until Restore is
// called. If the link is already cut, Cut does nothing.
func (l *Link) Cut() error {
	l.mu.Lock()
	var err error
	if l.listener != nil {
		err = l.listener.Close()
		l.listener = nil
	}
	for connection := range l.open {
		err = errors.Join(err, connection.Close())
	}
	clear(l.open)
	l.mu.Unlock()
	l.carrying.Wait()
	if err != nil {
		return fmt.Errorf("cutting the link to the API server: %w", err)
	}
	return nil
}

// Restore makes a cut link listen again at the same address as before.
func (l *Link) Restore() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		return nil
	}
	listener, err := l.listen("tcp", l.address)
	if err != nil {
		return fmt.Errorf("restoring the link to the API server: %w", err)
	}
	l.listener, l.address = listener, listener.Addr().String()
	l.carrying.Go(func() { l.accept(listener) })
	return nil
}

// accept accepts connections and forwards them until the listener is closed.
func (l *Link) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = client.Close() // The client then behaves as if the server were not running.
			continue
		}
		l.carry(listener, client, server)
	}
}

// carry copies data between two connections, in both directions, until either one
// closes.
func (l *Link) carry(listener net.Listener, ends ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != listener {
		closeAll(ends)
		return
	}
	for i, end := range ends {
		l.open[end] = struct{}{}
		other := ends[1-i]
		l.carrying.Go(func() {
			_, _ = io.Copy(end, other) // The connections are closed below, with or without an error.
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, end := range ends {
				if _, open := l.open[end]; open {
					delete(l.open, end)
					_ = end.Close() // This also ends the other direction.
				}
			}
		})
	}
}

func closeAll(connections []net.Conn) {
	for _, connection := range connections {
		_ = connection.Close() // No data has been forwarded, so the error does not matter.
	}
}
