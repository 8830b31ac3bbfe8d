package demo

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/lab"
)

// Cell is one connection: what the policies say of it and what became of it.
type Cell struct {
	From, To *End
	Port     Port
	Src, Dst netip.Addr

	Policies        rule.Verdict
	Egress, Ingress side
	Wire            lab.Result
}

// Agrees reports whether the wire did what the policies say.
func (c *Cell) Agrees() bool { return (c.Policies == rule.Allow) == (c.Wire == lab.Connected) }

// flow is the connection as a policy sees it. Policies do not see source ports.
func (c *Cell) flow() flow.Flow {
	return flow.Flow{Src: c.Src, Dst: c.Dst, Protocol: c.protocol(), DstPort: c.Port.Number}
}

// protocol is that of the port, and for ping that of the family.
func (c *Cell) protocol() flow.Protocol {
	if c.Port == Ping && c.Dst.Is6() {
		return flow.ICMPv6
	}
	return c.Port.Protocol
}

// grid is every connection that a policy could decide: from each end to each
// other end, one of them a pod, by every port and every family that both have.
func grid(ends []*End, ports []Port) []*Cell {
	var cells []*Cell
	for _, port := range ports {
		for _, from := range ends {
			for _, to := range ends {
				if from == to || from.Kind != kindPod && to.Kind != kindPod {
					continue
				}
				for _, four := range []bool{true, false} {
					src, ok := from.address(four)
					dst, also := to.address(four)
					if ok && also {
						cells = append(cells, &Cell{From: from, To: to, Port: port, Src: src, Dst: dst})
					}
				}
			}
		}
	}
	return cells
}

const (
	// atOnce bounds the connections that are opened at the same time.
	atOnce = 1024
	// patience is how long a connection may take that the policies allow.
	patience = 5 * time.Second
)

// try opens all connections. A refusal is believed after the given time; a
// connection that should open gets longer, so that a busy machine is no
// mismatch. Each connection that is done is counted.
func try(ctx context.Context, cells []*Cell, refusal time.Duration, done func()) error {
	tries, running := errgroup.WithContext(ctx)
	tries.SetLimit(atOnce)
	for _, c := range cells {
		if running.Err() != nil {
			break
		}
		tries.Go(func() error {
			timeout := refusal
			if c.Policies == rule.Allow {
				timeout = max(refusal, patience)
			}
			wire, err := c.From.host.Probe(running, c.protocol(), c.Src, netip.AddrPortFrom(c.Dst, c.Port.Number), timeout)
			c.Wire = wire
			done()
			return err
		})
	}
	if err := tries.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
