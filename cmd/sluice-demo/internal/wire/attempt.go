// Package wire opens real connections between the ends of a topology, and compares the
// results with the decisions of the published tree.
package wire

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/lab"
)

// Attempt is one connection that the demo tries to open, with the decision for the connection
// and the actual result.
type Attempt struct {
	From, To *topology.End
	Port     topology.Port
	Src, Dst netip.Addr

	// Verdict, Egress and Ingress contain the decision for the connection.
	Verdict         rule.Verdict
	Egress, Ingress report.Side
	// Result states whether the connection was opened.
	Result lab.Result
}

// Agrees reports whether the result agrees with the verdict. The result agrees if the
// policies allow the connection and it was opened, or if the policies deny the connection and
// it was not opened.
func (a *Attempt) Agrees() bool { return (a.Verdict == rule.Allow) == (a.Result == lab.Connected) }

// Flow returns the flow of the connection for an evaluation. The source port of the flow is
// 0, because policies do not depend on source ports.
func (a *Attempt) Flow() flow.Flow {
	return flow.Flow{Src: a.Src, Dst: a.Dst, Protocol: a.Protocol(), DstPort: a.Port.Number}
}

// Protocol returns the IP protocol of the connection. For Ping, the protocol is
// ICMP or ICMPv6, depending on the address family.
func (a *Attempt) Protocol() flow.Protocol {
	if a.Port == topology.Ping && a.Dst.Is6() {
		return flow.ICMPv6
	}
	return a.Port.Protocol
}

// Attempts returns all connections to try: from each end to each other end, on each port, and
// over each address family that both ends have. It omits connections between two ends that
// are not pods, because no policy applies to these connections.
func Attempts(ends []*topology.End, ports []topology.Port) []*Attempt {
	var out []*Attempt
	for _, port := range ports {
		for _, from := range ends {
			for _, to := range ends {
				if from == to || from.Kind != topology.KindPod && to.Kind != topology.KindPod {
					continue
				}
				for _, ipv4 := range []bool{true, false} {
					src, hasSource := from.Address(ipv4)
					dst, hasDestination := to.Address(ipv4)
					if hasSource && hasDestination {
						out = append(out, &Attempt{From: from, To: to, Port: port, Src: src, Dst: dst})
					}
				}
			}
		}
	}
	return out
}

const (
	// maxConcurrent is the maximum number of connections that the demo opens at the same
	// time.
	maxConcurrent = 1024
	// openTimeout is the timeout for connections that the policies allow, unless the caller of Try
	// specifies a longer one. It is long, so that a slow connection on a busy machine does not
	// count as a difference.
	openTimeout = 5 * time.Second
)

// Try tries to open all connections and sets their results. If the policies deny a connection, Try
// waits for a reply for at most timeout. If the policies allow the connection, Try waits for at
// most timeout or openTimeout, whichever is longer. After each connection, Try calls the function
// `done`, possibly from several goroutines at the same time.
func Try(ctx context.Context, attempts []*Attempt, timeout time.Duration, done func()) error {
	tries, running := errgroup.WithContext(ctx)
	tries.SetLimit(maxConcurrent)
	for _, a := range attempts {
		if running.Err() != nil {
			break
		}
		tries.Go(func() error {
			limit := timeout
			if a.Verdict == rule.Allow {
				limit = max(timeout, openTimeout)
			}
			result, err := a.From.Host.Probe(running, a.Protocol(), a.Src, netip.AddrPortFrom(a.Dst, a.Port.Number), limit)
			a.Result = result
			done()
			return err
		})
	}
	if err := tries.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
