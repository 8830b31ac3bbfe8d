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

// Link is a TCP proxy between clients and the API server. To simulate a broken network between
// a node and its control plane, a test can cut the link. The proxy does not terminate TLS.
type Link struct {
	address string // the address of the link
	listen  Listen
	target  string // the address of the API server

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]struct{}
	carrying sync.WaitGroup
}

// Link starts a link to the API server whose address is in the `config` parameter. It also returns
// a copy of `config` for clients that connect through the link. The link is cut at the end of the
// test.
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

// Listen opens a listener, like net.Listen. The listener may be in another network namespace.
type Listen func(network, address string) (net.Listener, error)

// NewLink does the same as Link, but for programs that are not tests. The caller must cut the link
// at the end. The link listens on 127.0.0.1. The function `listen` opens the listener and so
// determines the network namespace of the link.
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

// Cut closes all connections of the link and stops listening, until Restore is called. If the
// link is already cut, Cut does nothing.
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

// Restore makes a cut link listen again on its previous address.
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

// accept accepts connections and forwards their data until the listener is closed.
func (l *Link) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = client.Close() // Close the connection, so that it seems to the client that the server is not running.
			continue
		}
		l.carry(listener, client, server)
	}
}

// carry forwards data between two connections, in both directions, until one of them is closed.
// It then closes both.
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
			_, _ = io.Copy(end, other) // Ignore errors: the connections are closed below.
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, end := range ends {
				if _, open := l.open[end]; open {
					delete(l.open, end)
					_ = end.Close() // Closing both ends also stops the forwarding in the other direction.
				}
			}
		})
	}
}

func closeAll(connections []net.Conn) {
	for _, connection := range connections {
		_ = connection.Close() // Ignore the error, because no data has been forwarded.
	}
}
