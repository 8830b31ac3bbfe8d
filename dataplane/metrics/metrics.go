// Package metrics exports the status of a dataplane as Prometheus metrics. Each scrape reads
// the current status. The package does not store counters.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluicenet/sluice/dataplane/report"
)

// Handler returns an HTTP handler that serves the metrics of a dataplane, of the current process
// and of the Go runtime. The function `status` returns the current status of the dataplane.
func Handler(status func() (report.Status, error)) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		newCollector(status),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

const prefix = "sluice_dataplane_"

// family describes one metric.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func newFamily(kind prometheus.ValueType, name, help string, labels ...string) family {
	return family{prometheus.NewDesc(prefix+name, help, labels, nil), kind}
}

func (f family) value(v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(f.desc, f.kind, v, labels...)
}

// collector implements prometheus.Collector. docs/operations.md explains each
// metric.
type collector struct {
	status func() (report.Status, error)

	verdicts, packets, unreadable, verdictErrors family
	waiting, dropped, unevaluated                family
	held, heldPackets, learned, agentGone        family
	published, seen, acknowledged, rejected      family
	reevaluated, repairs, pods, isolated         family
	lookups, batches, walks                      *prometheus.Desc
}

// newCollector returns a collector for the metrics of a dataplane.
func newCollector(status func() (report.Status, error)) prometheus.Collector {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return &collector{
		status:        status,
		verdicts:      newFamily(counter, "verdicts_total", "Verdicts for first packets of connections, one for each local pod involved.", "direction", "family", "protocol", "verdict"),
		packets:       newFamily(counter, "packets_total", "Packets that were evaluated in user space, by result: accepted, denied, mid_stream or unreadable.", "result"),
		unreadable:    newFamily(counter, "unreadable_packets_total", "Packets that were dropped because they could not be decoded.", "reason"),
		verdictErrors: newFamily(counter, "verdict_errors_total", "Verdicts for which the kernel no longer had a packet."),
		waiting:       newFamily(gauge, "queue_packets", "Packets that wait in the queues for a verdict."),
		dropped:       newFamily(counter, "queue_dropped_packets_total", "Packets that met a full queue or a full socket of a worker, so that the failure policy decided on them.", "where"),
		unevaluated:   newFamily(counter, "unevaluated_packets_total", "Packets of isolated pods that failure policy Open accepted without a verdict, since the rules were created."),
		held:          newFamily(gauge, "held_packets", "Packets that are held because the pod at one end is not known yet."),
		heldPackets:   newFamily(counter, "held_packets_total", "Packets that left the hold queue, by result: released, not_pod, timed_out, no_agent, over_limit, repeated, unreadable, peer_allowed, peer_denied or peer_over_limit.", "result"),
		learned:       newFamily(gauge, "learned_interfaces", "Interfaces that were found to lead to no pod."),
		agentGone:     newFamily(gauge, "agent_gone", "1 while no agent runs on the node, so that packets of unknown pods are not held, otherwise 0."),
		published:     newFamily(gauge, "generation_published", "Generation of the tree that is published to the state directory, 0 before the first."),
		seen:          newFamily(gauge, "generation_seen", "Generation of the tree by which new connections are evaluated, 0 before the first."),
		acknowledged:  newFamily(gauge, "generation_acknowledged", "Generation of the tree that holds for every packet, also of open connections, 0 before the first."),
		rejected:      newFamily(gauge, "tree_rejected", "1 while the published tree cannot be used and the previous one stays in use, otherwise 0."),
		reevaluated:   newFamily(counter, "reevaluated_connections_total", "Open connections whose mark changed when they were re-evaluated, by the new mark.", "result"),
		repairs:       newFamily(counter, "rule_repairs_total", "Repairs of the nftables table after another program modified it."),
		pods:          newFamily(gauge, "pods", "Pods of this node."),
		isolated:      newFamily(gauge, "isolated_pods", "Pods of this node that policies isolate in at least one direction."),
		lookups:       prometheus.NewDesc(prefix+"lookup_duration_seconds", "Time to evaluate one packet; a sample of one in 64 batches.", nil, nil),
		batches:       prometheus.NewDesc(prefix+"batch_duration_seconds", "Time from when a batch of packets has been read until the kernel has its verdicts; a sample of one in 64 batches.", nil, nil),
		walks:         prometheus.NewDesc(prefix+"connection_walk_duration_seconds", "Time to re-evaluate all open connections.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range []family{
		c.verdicts, c.packets, c.unreadable, c.verdictErrors, c.waiting, c.dropped, c.unevaluated, c.published, c.seen,
		c.acknowledged, c.rejected, c.reevaluated, c.repairs, c.pods, c.isolated, c.held, c.heldPackets, c.learned, c.agentGone,
	} {
		out <- f.desc
	}
	out <- c.lookups
	out <- c.batches
	out <- c.walks
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s, err := c.status()
	if err != nil {
		out <- prometheus.NewInvalidMetric(c.acknowledged.desc, err)
		return
	}
	v := &s.Verdicts
	for _, side := range v.Sides {
		out <- c.verdicts.value(float64(side.Count), side.Direction, side.Family, side.Protocol, side.Verdict)
	}
	unreadable := uint64(0)
	for reason, n := range v.Unreadable {
		unreadable += n
		out <- c.unreadable.value(float64(n), reason)
	}
	out <- c.packets.value(float64(v.Accepted), "accepted")
	out <- c.packets.value(float64(v.Denied), "denied")
	out <- c.packets.value(float64(v.MidStream), "mid_stream")
	out <- c.packets.value(float64(unreadable), "unreadable")
	out <- c.verdictErrors.value(float64(v.VerdictErrors))
	out <- c.waiting.value(float64(v.Waiting))
	out <- c.dropped.value(float64(v.QueueDropped), "queue")
	out <- c.dropped.value(float64(v.SocketDropped), "socket")
	out <- c.unevaluated.value(float64(s.Unevaluated))
	if s.Held.Limit > 0 {
		c.collectHeld(&s.Held, out)
	}
	out <- c.published.value(float64(s.Published))
	out <- c.seen.value(float64(s.Seen))
	out <- c.acknowledged.value(float64(s.Generation))
	rejected := 0.0
	if s.Rejected != nil {
		rejected = 1
	}
	out <- c.rejected.value(rejected)
	out <- c.reevaluated.value(float64(s.Reevaluated.Accepted), "accepted")
	out <- c.reevaluated.value(float64(s.Reevaluated.Denied), "denied")
	out <- c.reevaluated.value(float64(s.Reevaluated.Cleared), "cleared")
	out <- prometheus.MustNewConstSummary(c.walks, s.Reevaluated.Walks, s.Reevaluated.Took.Seconds(), nil)
	out <- c.repairs.value(float64(s.Repairs))
	out <- c.pods.value(float64(s.Pods))
	out <- c.isolated.value(float64(s.IsolatedPods))
	out <- histogram(c.lookups, v.LookupTimes)
	out <- histogram(c.batches, v.BatchTimes)
}

// collectHeld sends the metrics of held packets.
func (c *collector) collectHeld(h *report.Held, out chan<- prometheus.Metric) {
	out <- c.held.value(float64(h.Waiting))
	for result, n := range map[string]uint64{
		"released": h.Released, "not_pod": h.NotPods, "timed_out": h.TimedOut, "no_agent": h.NoAgent,
		"over_limit": h.OverLimit, "repeated": h.Repeated, "unreadable": h.Unreadable,
		"peer_allowed": h.PeersAllowed, "peer_denied": h.PeersDenied, "peer_over_limit": h.PeersOverLimit,
	} {
		out <- c.heldPackets.value(float64(n), result)
	}
	out <- c.learned.value(float64(len(h.Learned)))
	gone := 0.0
	if h.AgentGone {
		gone = 1
	}
	out <- c.agentGone.value(gone)
}

func histogram(desc *prometheus.Desc, h report.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.Buckets))
	for bound, n := range h.Buckets {
		buckets[float64(bound)/float64(time.Second)] = n
	}
	return prometheus.MustNewConstHistogram(desc, h.Count, h.Sum.Seconds(), buckets)
}
