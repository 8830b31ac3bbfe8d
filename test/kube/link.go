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

// Link is a TCP proxy before the API server. It can be cut, like the network
// between a node and its control plane. It does not terminate TLS.
type Link struct {
	address string // the address of the link
	listen  Listen
	target  string // the address of the API server

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]struct{}
	carrying sync.WaitGroup
}

// Link starts a link to the server in a configuration, and returns a copy of the
// configuration for clients of the link. The link is cut when the test ends.
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

// Listen is net.Listen, or the same in another network namespace.
type Listen func(network, address string) (net.Listener, error)

// NewLink is Link without a test. The caller cuts the link at the end. The link
// listens on 127.0.0.1, in the network namespace of the function listen.
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

// Cut closes every connection and stops listening until Restore. It does nothing
// if the link is cut already.
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

// Restore listens again, at the same address as before.
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

// accept forwards connections until the listener is closed.
func (l *Link) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = client.Close() // The client sees that the server does not run.
			continue
		}
		l.carry(listener, client, server)
	}
}

// carry copies data in both directions until either end closes.
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
			_, _ = io.Copy(end, other) // The connection ends with or without an error.
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, end := range ends {
				if _, open := l.open[end]; open {
					delete(l.open, end)
					_ = end.Close() // The other direction ends with it.
				}
			}
		})
	}
}

func closeAll(connections []net.Conn) {
	for _, connection := range connections {
		_ = connection.Close() // No data was forwarded yet.
	}
}
