package wire

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/lab"
)

// Open is a connection that stayed open and transferred data while the policies changed.
type Open struct {
	From     string     `json:"from"`
	To       string     `json:"to"`
	Src      netip.Addr `json:"src"`
	Dst      netip.Addr `json:"dst"`
	Protocol string     `json:"protocol"`
	Port     uint16     `json:"port"`
	// Verdict is the verdict for the connection under the new policies.
	Verdict string `json:"verdict"`
	// Continues is true if data still arrived after the dataplane had acknowledged the new
	// policies.
	Continues bool `json:"continues"`
	// Last is set only if the connection does not continue. It is the time from the
	// publication of the new policies until the last data arrived. If the last data arrived
	// before the publication, Last is negative.
	Last *int64 `json:"lastNanoseconds,omitempty"`
	// Pause is set only if the connection continues. It is the longest time without data between
	// the call of ForgetPauses and the call of Observe. The policies change between these two
	// calls.
	Pause  *int64 `json:"longestPauseNanoseconds,omitempty"`
	Agrees bool   `json:"agrees"`

	stream *stream
	pause  time.Duration
}

// String returns a text such as "shop/web downloads from shop/db, TCP 80, IPv4".
func (o *Open) String() string {
	verb, family := "exchanges with", "IPv6"
	if o.Protocol == flow.TCP.String() {
		verb = "downloads from"
	}
	if o.Dst.Is4() {
		family = "IPv4"
	}
	return fmt.Sprintf("%s %s %s, %s %d, %s", o.From, verb, o.To, o.Protocol, o.Port, family)
}

// Allowed reports whether the new policies allow the connection.
func (o *Open) Allowed() bool { return o.Verdict == rule.Allow.String() }

const (
	// observation is the time for which the demo observes the open connections before it tries
	// other connections. During this time, data that was sent earlier can still arrive.
	observation = 250 * time.Millisecond
	// delay is the maximum time that a packet takes from the node to its destination. A packet
	// that leaves the node just before the acknowledgement can therefore arrive at most this
	// long after the acknowledgement.
	delay = 20 * time.Millisecond
)

// OpenAll opens the connections of attempts and starts to transfer data. Even if OpenAll
// returns an error, the caller must close the returned connections with CloseAll.
func OpenAll(ctx context.Context, attempts []*Attempt) ([]*Open, error) {
	var out []*Open
	for _, a := range attempts {
		s, err := openStream(ctx, a)
		if err != nil {
			return out, fmt.Errorf("keeping a connection from %s to %s, %s, open: %w", a.From.Name, a.To.Name, a.Port, err)
		}
		out = append(out, &Open{
			From: a.From.Name, To: a.To.Name, Src: a.Src, Dst: a.Dst,
			Protocol: a.Port.Protocol.String(), Port: a.Port.Number,
			Verdict: a.Verdict.String(), stream: s,
		})
	}
	return out, nil
}

// CloseAll closes all connections.
func CloseAll(open []*Open) {
	for _, o := range open {
		o.stream.close()
	}
}

// ForgetPauses resets the longest pause of each connection to 0. The demo calls it before a
// change, so that earlier pauses do not count.
func ForgetPauses(open []*Open) {
	for _, o := range open {
		o.stream.forgetPauses()
	}
}

// Observe waits for the observation time, so that data that was sent earlier can still arrive. Then
// it stores the longest pause of each connection.
func Observe(ctx context.Context, open []*Open) error {
	if len(open) == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(observation):
	}
	for _, o := range open {
		_, o.pause = o.stream.times()
	}
	return nil
}

// Conclude determines whether each connection continues, and sets the fields Continues, Agrees,
// Last and Pause. The `published` parameter is the time of the publication. The `enforced`
// parameter is the duration from the publication until the acknowledgement.
func Conclude(ctx context.Context, open []*Open, published time.Time, enforced time.Duration) error {
	for _, o := range open {
		if o.Allowed() {
			limited, cancel := context.WithTimeout(ctx, openTimeout)
			o.Continues = o.stream.moves(limited)
			cancel()
		}
		last, _ := o.stream.times()
		if !o.Allowed() {
			o.Continues = last.Sub(published) > enforced+delay
		}
		o.Agrees = o.Continues == o.Allowed()
		if o.Continues {
			o.Pause = new(o.pause.Nanoseconds())
		} else {
			o.Last = new(last.Sub(published).Nanoseconds())
		}
	}
	return ctx.Err()
}

// PickOpen selects connections to keep open during a change. All of these connections succeeded
// under the old policies. For each of the protocols TCP and UDP, PickOpen selects one
// connection that the new policies deny, and one that they allow. If the new policies deny no
// successful connection of a protocol, PickOpen selects no connection of this protocol. Both
// parameters contain the same connections. The `before` parameter contains the decisions and
// results under the old policies. The `after` parameter contains the decisions under the new
// policies. Among the connections of a protocol, PickOpen selects those with the highest scores.
func PickOpen(before, after []*Attempt) []*Attempt {
	var denied, allowed []*Attempt
	for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP} {
		best := func(score func(*Attempt) int) *Attempt {
			var out *Attempt
			for i, a := range after {
				if a.Port.Protocol == protocol && before[i].Result == lab.Connected && score(a) >= 0 && (out == nil || score(a) > score(out)) {
					out = a
				}
			}
			return out
		}
		first := best(deniedScore)
		if first == nil {
			continue
		}
		denied = append(denied, first)
		if second := best(func(a *Attempt) int { return allowedScore(a, first) }); second != nil {
			allowed = append(allowed, second)
		}
	}
	return slices.Concat(denied, allowed)
}

// deniedScore returns the score of a connection that the new policies deny. The score is
// higher for connections from a pod, for TCP over IPv4, and for UDP over IPv6, so that the
// demo shows both address families. If the score is negative, the connection is not selected.
func deniedScore(a *Attempt) int {
	if a.Verdict == rule.Allow {
		return -1
	}
	return points(a.From.Kind == topology.KindPod, 2) + points(a.Dst.Is4() == (a.Port.Protocol == flow.TCP), 1)
}

// allowedScore returns the score of a connection that the new policies allow. The score is
// higher for connections from the destination of the denied connection, and for connections
// to the source of the denied connection. Such connections show that an ingress policy does
// not affect connections that the isolated pod opens. If the score is negative, the
// connection is not selected.
func allowedScore(a, denied *Attempt) int {
	if a.Verdict != rule.Allow {
		return -1
	}
	return points(a.From.Kind != topology.KindNode && a.To.Kind != topology.KindNode, 16) +
		points(a.From == denied.To || a.To == denied.From, 8) +
		points(a.From == denied.From || a.To == denied.To, 4) +
		points(a.Egress.Rule != nil || a.Ingress.Rule != nil, 2) +
		points(a.Dst.Is4() != (a.Port.Protocol == flow.TCP), 1)
}

func points(condition bool, value int) int {
	if condition {
		return value
	}
	return 0
}
