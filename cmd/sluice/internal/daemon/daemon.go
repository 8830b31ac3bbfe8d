// Package daemon contains the flags, the logger and the health listener that the long-running
// commands of sluice share.
package daemon

import (
	"fmt"
	"net"
	"net/http"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/internal/health"
)

// NoAddress is the value of an address flag that disables the server.
const NoAddress = "0"

// Flags are the flags that the commands agent, dataplane and operator share.
type Flags struct {
	MetricsAddress, HealthAddress string
	// If MetricsPlain is true, the command serves metrics without TLS and authentication.
	// Only the commands for which AddMetricsPlain adds the flag use this field.
	MetricsPlain bool
	log          logFlags
}

// Add adds the flags to a command, with the given default addresses.
func (f *Flags) Add(cmd *cobra.Command, metricsAddress, healthAddress string) {
	cmd.Flags().StringVar(&f.MetricsAddress, "metrics-address", metricsAddress, "`address` for /metrics; 0 for none")
	cmd.Flags().StringVar(&f.HealthAddress, "health-address", healthAddress, "`address` for /healthz and /readyz; 0 for none")
	f.log.add(cmd)
}

// AddMetricsPlain adds the flag --metrics-plain to a command.
func (f *Flags) AddMetricsPlain(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.MetricsPlain, "metrics-plain", false, "serve only metrics, without TLS and authentication")
}

// Logger returns a logger that writes to standard error as the flags specify. The packages of
// Kubernetes then log to this logger, too.
func (f *Flags) Logger(cmd *cobra.Command) logr.Logger { return f.log.logger(cmd) }

// Listener is a network listener for health checks. The methods of a nil *Listener do
// nothing.
type Listener struct{ listener net.Listener }

// Listen listens on the address that a flag specifies. If the address is empty or "0", the
// server is disabled, and Listen returns nil.
func Listen(flag, address string) (*Listener, error) {
	if address == "" || address == NoAddress {
		return nil, nil
	}
	l, err := health.Listen(address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", flag, err)
	}
	return &Listener{l}, nil
}

// Serve starts an HTTP server in a new goroutine. The server runs until the listener is closed.
func (l *Listener) Serve(handler http.Handler) {
	if l != nil {
		go health.Serve(l.listener, handler)
	}
}

// Close stops the server.
func (l *Listener) Close() {
	if l != nil {
		_ = l.listener.Close() // Even if Close returns an error, the process no longer listens.
	}
}
