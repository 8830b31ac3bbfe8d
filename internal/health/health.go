// Package health contains a server and a client for health checks. The server listens on a
// TCP address or on a unix socket.
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	// unixPrefix is the prefix of addresses of unix sockets. The path of the socket follows
	// the prefix, for example "unix:/run/health/agent.sock".
	unixPrefix = "unix:"
	// timeout limits three durations: the reading of a request header, the writing of a response,
	// and a whole check.
	timeout = 5 * time.Second
	// maxReply is the maximum number of bytes that Check reads from a reply.
	maxReply = 4 << 10
)

// Listen listens on an address. If an earlier process left a unix socket at the address,
// Listen replaces the socket.
func Listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, unixPrefix)
	if !ok {
		return net.Listen("tcp", address)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", path)
}

// Serve serves requests with the handler until the listener is closed.
func Serve(l net.Listener, handler http.Handler) {
	server := http.Server{Handler: handler, ReadHeaderTimeout: timeout, WriteTimeout: timeout}
	_ = server.Serve(l) // Serve returns when the listener is closed.
}

// Check sends a request for a path, such as "/readyz", to an address. If the reply reports a
// failure, the error contains the reply.
func Check(ctx context.Context, address, path string) error {
	network := "tcp"
	if socket, ok := strings.CutPrefix(address, unixPrefix); ok {
		network, address = "unix", socket
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("checking %s: %w", address, err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("checking %s: %w", address, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxReply))
		return fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	return nil
}
