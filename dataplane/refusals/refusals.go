// Package refusals logs refused flows, with the policies behind each, at a rate
// that no sender can raise.
package refusals

import (
	"context"
	"net"
	"strconv"
	"time"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/dataplane/queue"
)

// Log writes a line for each packet that is not accepted, until the context
// ends: at most limit in a second, at once after a second without any. The next
// line says how many were left out.
func Log(ctx context.Context, events *queue.Events, limit int, log logr.Logger) {
	listener := events.Listen(true)
	defer listener.Close()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	left, silent := limit, uint64(0)
	for {
		select {
		case event := <-listener.C:
			silent += event.Missed
			if left == 0 {
				silent++
				continue
			}
			left--
			log.Info("Refused", values(&event, silent)...)
			silent = 0
		case <-second.C:
			left = limit
		case <-ctx.Done():
			return
		}
	}
}

// values are keys and values about a packet. Empty ones are left out.
func values(e *queue.Event, silent uint64) []any {
	var out []any
	add := func(key, value string) {
		if value != "" {
			out = append(out, key, value)
		}
	}
	add("verdict", string(e.Outcome))
	add("fault", e.Fault)
	if e.Fault == "" {
		add("protocol", e.Protocol)
		add("src", end(e.Src.String(), e.SrcPort))
		add("dst", end(e.Dst.String(), e.DstPort))
		add("srcPod", e.SrcPod)
		add("dstPod", e.DstPod)
	}
	addSide := func(direction string, side *queue.EventSide) {
		if side == nil || side.Verdict == string(queue.Allow) {
			return
		}
		add(direction, side.Reason)
		if len(side.IsolatedBy) > 0 {
			out = append(out, direction+"IsolatedBy", side.IsolatedBy)
		}
	}
	addSide("egress", e.Egress)
	addSide("ingress", e.Ingress)
	if silent > 0 {
		out = append(out, "leftOut", silent)
	}
	return out
}

func end(address string, port uint16) string {
	if port == 0 {
		return address
	}
	return net.JoinHostPort(address, strconv.Itoa(int(port)))
}
