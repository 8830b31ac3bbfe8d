// Package metrics shows a dataplane's status to Prometheus. It keeps no
// counters of its own: they are read when somebody asks.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/queue"
)

// Handler answers with the metrics of a dataplane, and those of this process
// and its Go runtime.
func Handler(status func() (engine.Status, error)) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		NewCollector(status),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}

const prefix = "sluice_dataplane_"

// family is one metric.
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
	status func() (engine.Status, error)

	verdicts, packets, unreadable, verdictErrors family
	waiting, dropped, unjudged                   family
	published, seen, acknowledged, refused       family
	judgedAgain, repairs, pods, isolated         family
	lookups, batches, walks                      *prometheus.Desc
}

// NewCollector makes the metrics of a dataplane. One of them is to be
// registered.
func NewCollector(status func() (engine.Status, error)) prometheus.Collector {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return &collector{
		status:        status,
		verdicts:      newFamily(counter, "verdicts_total", "Verdicts about first packets of connections, one for each local pod involved.", "direction", "family", "protocol", "verdict"),
		packets:       newFamily(counter, "packets_total", "Packets that were judged in user space, by what came of it: accepted, refused, mid_stream or unreadable.", "result"),
		unreadable:    newFamily(counter, "unreadable_packets_total", "Packets that were dropped because they could not be read.", "reason"),
		verdictErrors: newFamily(counter, "verdict_errors_total", "Verdicts that the kernel had no packet for any more."),
		waiting:       newFamily(gauge, "queue_packets", "Packets that wait in the queues for a verdict."),
		dropped:       newFamily(counter, "queue_dropped_packets_total", "Packets that found a queue or a worker's socket full, so that the failure policy decided on them.", "where"),
		unjudged:      newFamily(counter, "unjudged_packets_total", "Packets of isolated pods that failure policy Open let pass without a verdict, since the rules were made."),
		published:     newFamily(gauge, "generation_published", "Generation of the tree that is published to the state directory, 0 before the first."),
		seen:          newFamily(gauge, "generation_seen", "Generation of the tree by which new connections are judged, 0 before the first."),
		acknowledged:  newFamily(gauge, "generation_acknowledged", "Generation of the tree that holds for every packet, also of open connections, 0 before the first."),
		refused:       newFamily(gauge, "tree_refused", "1 while the published tree cannot be used, so that the one before stays in force."),
		judgedAgain:   newFamily(counter, "judged_again_connections_total", "Open connections whose mark changed when they were judged again, by what they are now.", "result"),
		repairs:       newFamily(counter, "rule_repairs_total", "Repairs of the nftables rules after somebody else changed them."),
		pods:          newFamily(gauge, "pods", "Pods of this node."),
		isolated:      newFamily(gauge, "isolated_pods", "Pods of this node that policies isolate in at least one direction."),
		lookups:       prometheus.NewDesc(prefix+"lookup_duration_seconds", "Time to judge one packet by the tree; a sample of one in 64 batches.", nil, nil),
		batches:       prometheus.NewDesc(prefix+"batch_duration_seconds", "Time from having read a batch of packets until its verdicts are carried out; a sample of one in 64 batches.", nil, nil),
		walks:         prometheus.NewDesc(prefix+"connection_walk_duration_seconds", "Time to judge all open connections again.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range []family{
		c.verdicts, c.packets, c.unreadable, c.verdictErrors, c.waiting, c.dropped, c.unjudged, c.published, c.seen,
		c.acknowledged, c.refused, c.judgedAgain, c.repairs, c.pods, c.isolated,
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
	out <- c.packets.value(float64(v.Refused), "refused")
	out <- c.packets.value(float64(v.MidStream), "mid_stream")
	out <- c.packets.value(float64(unreadable), "unreadable")
	out <- c.verdictErrors.value(float64(v.VerdictErrors))
	out <- c.waiting.value(float64(v.Waiting))
	out <- c.dropped.value(float64(v.QueueDropped), "queue")
	out <- c.dropped.value(float64(v.SocketDropped), "socket")
	out <- c.unjudged.value(float64(s.Unjudged))
	out <- c.published.value(float64(s.Published))
	out <- c.seen.value(float64(s.Seen))
	out <- c.acknowledged.value(float64(s.Generation))
	refused := 0.0
	if s.Refused != nil {
		refused = 1
	}
	out <- c.refused.value(refused)
	out <- c.judgedAgain.value(float64(s.JudgedAgain.Accepted), "accepted")
	out <- c.judgedAgain.value(float64(s.JudgedAgain.Refused), "refused")
	out <- c.judgedAgain.value(float64(s.JudgedAgain.Cleared), "cleared")
	out <- prometheus.MustNewConstSummary(c.walks, s.JudgedAgain.Walks, s.JudgedAgain.Took.Seconds(), nil)
	out <- c.repairs.value(float64(s.Repairs))
	out <- c.pods.value(float64(s.Pods))
	out <- c.isolated.value(float64(s.IsolatedPods))
	out <- histogram(c.lookups, v.LookupTimes)
	out <- histogram(c.batches, v.BatchTimes)
}

func histogram(desc *prometheus.Desc, h queue.Histogram) prometheus.Metric {
	buckets := make(map[float64]uint64, len(h.Buckets))
	for bound, n := range h.Buckets {
		buckets[float64(bound)/float64(time.Second)] = n
	}
	return prometheus.MustNewConstHistogram(desc, h.Count, h.Sum.Seconds(), buckets)
}
