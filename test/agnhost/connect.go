package agnhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
)

// request is the payload that `agnhost connect` sends over UDP.
const request = "hostname\n"

// Connect does what `agnhost connect` does on a host: it opens a connection to an address, and over
// UDP it also waits for a reply. The arguments are those of `agnhost connect`, for example:
//
//	--timeout=3s --protocol=udp 10.0.0.1:53
//
// The result is the exit code. If it is not 0, Connect has written one line to stderr that begins
// with TIMEOUT, REFUSED, DNS, UNKNOWN or OTHER. The hosts of the lab have no resolver, so a host
// name instead of an address results in a DNS error.
func Connect(ctx context.Context, host *lab.Host, arguments []string, stderr io.Writer) (exitCode int) {
	err := connect(ctx, host, arguments)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, err)
	return 1
}

func connect(ctx context.Context, host *lab.Host, arguments []string) error {
	flags := newFlags("connect")
	timeout := flags.Duration("timeout", 0, "")
	protocol := flags.String("protocol", "tcp", "")
	if err := flags.Parse(arguments); err != nil {
		return fmt.Errorf("UNKNOWN: %w", err)
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("UNKNOWN: %d destinations, want 1", flags.NArg())
	}
	to, err := netip.ParseAddrPort(flags.Arg(0))
	if err != nil {
		return fmt.Errorf("DNS: %w", err)
	}
	switch *protocol {
	case "tcp":
		return connectTCP(ctx, host, to, *timeout)
	case "udp":
		return connectUDP(ctx, host, to, *timeout)
	case "sctp":
		return connectSCTP(ctx, host, to, *timeout)
	default:
		return fmt.Errorf("Unsupported protocol %s", *protocol) //nolint:staticcheck // agnhost writes the same text.
	}
}

func connectTCP(ctx context.Context, host *lab.Host, to netip.AddrPort, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	conn, err := host.Dial(ctx, flow.TCP, netip.Addr{}, to)
	switch {
	case err == nil:
		_ = conn.Close() // agnhost ignores this error, too.
		return nil
	case timedOut(err):
		return errors.New("TIMEOUT")
	case errors.Is(err, unix.ECONNREFUSED):
		return errors.New("REFUSED")
	default:
		return fmt.Errorf("OTHER: %w", err)
	}
}

func connectUDP(ctx context.Context, host *lab.Host, to netip.AddrPort, timeout time.Duration) error {
	conn, err := host.Dial(ctx, flow.UDP, netip.Addr{}, to)
	if err != nil {
		return fmt.Errorf("OTHER: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if timeout > 0 {
		if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return fmt.Errorf("OTHER: %w", err)
		}
	}
	if _, err = io.WriteString(conn, request); err == nil {
		_, err = conn.Read(make([]byte, 1024))
	}
	switch {
	case err == nil:
		return nil
	case timedOut(err):
		return fmt.Errorf("TIMEOUT: %w", err)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("REFUSED: %w", err)
	default:
		return fmt.Errorf("UNKNOWN: %w", err)
	}
}

func connectSCTP(ctx context.Context, host *lab.Host, to netip.AddrPort, timeout time.Duration) error {
	result, err := host.Probe(ctx, flow.SCTP, netip.Addr{}, to, timeout)
	switch {
	case err != nil:
		return fmt.Errorf("OTHER: %w", err)
	case result == lab.TimedOut:
		return errors.New("TIMEOUT")
	case result == lab.Rejected:
		return errors.New("OTHER: the packet was rejected")
	default:
		return nil
	}
}

func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, unix.ETIMEDOUT)
}
