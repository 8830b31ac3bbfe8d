// Package denials logs packets that were not allowed, together with the policies that
// denied them. It limits the rate of log lines, so that a sender of packets cannot flood
// the log.
package denials

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/dataplane/report"
)

// Log writes one log line for each event until the context ends. It writes at most `limit` lines
// per second and omits the other events. The next line reports the number of omitted events.
func Log(ctx context.Context, events <-chan report.Event, limit int, log logr.Logger) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	remaining, omitted := limit, uint64(0)
	for {
		select {
		case event := <-events:
			omitted += event.Missed
			if remaining == 0 {
				omitted++
				continue
			}
			remaining--
			log.Info("Denied", values(&event, omitted)...)
			omitted = 0
		case <-second.C:
			remaining = limit
		case <-ctx.Done():
			return
		}
	}
}

// values returns the keys and values of the log line for an event. If a value is empty, values
// leaves out its key. omitted is the number of events that were omitted since the previous
// line.
func values(e *report.Event, omitted uint64) []any {
	var out []any
	add := func(key, value string) {
		if value != "" {
			out = append(out, key, value)
		}
	}
	add("verdict", string(e.Verdict))
	add("fault", e.Fault)
	if e.Fault == "" {
		add("protocol", e.Protocol)
		add("src", endpoint(e.Src.String(), e.SrcPort))
		add("dst", endpoint(e.Dst.String(), e.DstPort))
		add("srcPod", e.SrcPod)
		add("dstPod", e.DstPod)
	}
	if e.Held > 0 {
		add("held", e.Held.Round(time.Millisecond).String())
	}
	addSide := func(direction string, side *report.Side) {
		if side == nil || side.Verdict == string(report.Allow) {
			return
		}
		add(direction, side.Reason)
		if len(side.IsolatedBy) > 0 {
			out = append(out, direction+"IsolatedBy", side.IsolatedBy)
		}
	}
	addSide("egress", e.Egress)
	addSide("ingress", e.Ingress)
	if omitted > 0 {
		out = append(out, "omitted", omitted)
	}
	return out
}

func endpoint(address string, port uint16) string {
	if port == 0 {
		return address
	}
	return net.JoinHostPort(address, strconv.Itoa(int(port)))
}
