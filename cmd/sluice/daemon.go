package main

import (
	"fmt"
	"net"
	"net/http"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/sluicenet/sluice/internal/health"
)

// noAddress is the value of an address flag that disables the server.
const noAddress = "0"

// daemonFlags are the flags that the long-running commands agent, dataplane and operator
// share.
type daemonFlags struct {
	metricsAddress, healthAddress string
	verbose                       bool
}

// addFlags adds the flags to a command, with the given default addresses.
func (f *daemonFlags) addFlags(cmd *cobra.Command, metricsAddress, healthAddress string) {
	cmd.Flags().StringVar(&f.metricsAddress, "metrics-address", metricsAddress, "`address` for /metrics; 0 for none")
	cmd.Flags().StringVar(&f.healthAddress, "health-address", healthAddress, "`address` for /healthz and /readyz; 0 for none")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "log more, in a format for people")
}

// logger returns a logger that writes to standard error.
func (f *daemonFlags) logger(cmd *cobra.Command) logr.Logger {
	return zap.New(zap.WriteTo(cmd.ErrOrStderr()), zap.UseDevMode(f.verbose))
}

// listener is a network listener for health checks. The methods of a nil *listener do
// nothing.
type listener struct{ net.Listener }

// listen listens on the address that a flag specifies. If the address is empty or "0", the
// server is disabled, and listen returns nil.
func listen(flag, address string) (*listener, error) {
	if address == "" || address == noAddress {
		return nil, nil
	}
	l, err := health.Listen(address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", flag, err)
	}
	return &listener{l}, nil
}

// serve starts an HTTP server in a new goroutine. The server runs until the listener is closed.
func (l *listener) serve(handler http.Handler) {
	if l != nil {
		go health.Serve(l, handler)
	}
}

func (l *listener) close() {
	if l != nil {
		_ = l.Close() // Even if Close returns an error, the process no longer listens.
	}
}
