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

// Handler returns an HTTP handler that serves the metrics of a dataplane (see New), of the current
// process and of the Go runtime.
func Handler(status func() (report.Status, error)) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		New(status),
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

// collector implements prometheus.Collector. The page docs/reference/metrics.md is generated from
// the descriptions of its metrics.
type collector struct {
	status func() (report.Status, error)

	verdicts, packets, unreadable, verdictErrors family
	waiting, dropped, unevaluated                family
	floodPackets, flooding                       family
	held, heldPackets, learned, agentGone        family
	published, seen, acknowledged, rejected      family
	reevaluated, repairs, pods, isolated         family
	entries, maxEntries                          family
	lookups, batches, walks                      *prometheus.Desc
}

// New returns a collector for the metrics of a dataplane. The function `status` returns the current
// status of the dataplane.
func New(status func() (report.Status, error)) prometheus.Collector {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return &collector{
		status:        status,
		verdicts:      newFamily(counter, "verdicts_total", "Verdicts. An evaluated packet counts once for egress if its source is a pod of this node, and once for ingress if its destination is a pod of this node. The direction is egress or ingress; the family is IPv4 or IPv6; the protocol is TCP, UDP, SCTP, ICMP or other; the verdict is Allow or Deny.", "direction", "family", "protocol", "verdict"),
		packets:       newFamily(counter, "packets_total", "Evaluated packets by result: accepted, denied, mid_stream or unreadable. The result mid_stream counts packets that policies deny, but that may belong to an allowed connection.", "result"),
		unreadable:    newFamily(counter, "unreadable_packets_total", "Packets that were dropped because they could not be decoded, by reason: truncated, version, network, fragment or transport.", "reason"),
		verdictErrors: newFamily(counter, "verdict_errors_total", "Verdicts that the kernel did not apply because the packet was no longer in the queue."),
		waiting:       newFamily(gauge, "queue_packets", "Packets that wait for a verdict in the normal queues. A normal queue holds at most 8192 packets."),
		dropped:       newFamily(counter, "queue_dropped_packets_total", "Packets that were not evaluated because a buffer was full: a normal queue in the kernel (queue), or the socket buffer of its worker (socket). The failure policy decided whether these packets were dropped or accepted. Packets of the flood queue are not counted.", "where"),
		floodPackets:  newFamily(counter, "flood_queue_packets_total", "First packets of flooding pods, by result: evaluated, or dropped because the flood queue or the socket buffer of its worker was full.", "result"),
		flooding:      newFamily(gauge, "flooding_pod_flows_per_second", "The highest rate of a flooding pod since its flood began, in new flows per second. A pod is reported until one minute after its flood has ended. The direction is egress if the pod opens the flows, and ingress if it receives them. The label pod is empty if the tree does not contain the pod.", "pod", "direction"),
		unevaluated:   newFamily(counter, "unevaluated_packets_total", "Unevaluated packets of isolated pods that were accepted because of failure policy Open, since the rules were created. The number includes packets that were accepted while no dataplane was running."),
		held:          newFamily(gauge, "held_packets", "Packets that are held at the moment, because their source or destination may be a pod that is not in the tree yet."),
		heldPackets:   newFamily(counter, "held_packets_total", "Packets that left the hold queue, by result: released (both ends are in the tree now), not_pod (the unknown address does not belong to a pod), timed_out, no_agent or over_limit (the failure policy decided), repeated (a copy of a held TCP packet), or unreadable. If the remote end may be a new pod of another node: peer_allowed (a later tree allowed the packet), peer_denied (no tree allowed the packet within 1 s), or peer_over_limit (the packet was denied at once, because too many packets were held).", "result"),
		learned:       newFamily(gauge, "learned_interfaces", "Interfaces that do not lead to a pod: an unknown address appeared on the interface, and the CNI results did not assign this address to a pod."),
		agentGone:     newFamily(gauge, "agent_gone", "1 while no agent is running on the node, otherwise 0. While no agent is running, the dataplane does not hold packets of unknown pods."),
		published:     newFamily(gauge, "generation_published", "The generation of the tree file to which the symlink tree/current points, 0 before the first."),
		seen:          newFamily(gauge, "generation_seen", "The generation with which new connections are evaluated, 0 before the first."),
		acknowledged:  newFamily(gauge, "generation_acknowledged", "The newest generation that is enforced for every packet, including packets of open connections, 0 before the first."),
		rejected:      newFamily(gauge, "tree_rejected", "1 while the published tree is rejected and the previous tree stays in use, otherwise 0."),
		reevaluated:   newFamily(counter, "reevaluated_connections_total", "Open connections whose mark changed when they were re-evaluated, by the new mark: accepted or denied. The result is cleared if the mark was removed, because the pods of the connection are no longer isolated.", "result"),
		repairs:       newFamily(counter, "rule_repairs_total", "How many times the dataplane repaired the table inet sluice after another program had modified it."),
		pods:          newFamily(gauge, "pods", "Pods of this node."),
		isolated:      newFamily(gauge, "isolated_pods", "Pods of this node that policies isolate in at least one direction."),
		entries:       newFamily(gauge, "conntrack_entries", "Number of entries in the conntrack table of the node."),
		maxEntries:    newFamily(gauge, "conntrack_max_entries", "Maximum number of entries in the conntrack table of the node: net.netfilter.nf_conntrack_max. It is 0 if there is no limit, or if the kernel is older than Linux 4.18."),
		lookups:       prometheus.NewDesc(prefix+"lookup_duration_seconds", "Time to evaluate one packet, measured in one of 64 batches.", nil, nil),
		batches:       prometheus.NewDesc(prefix+"batch_duration_seconds", "Time from reading a batch of up to 64 packets until the kernel has received the verdicts for the batch, measured in one of 64 batches.", nil, nil),
		walks:         prometheus.NewDesc(prefix+"connection_walk_duration_seconds", "Time to re-evaluate all open connections. Connections are re-evaluated after each new generation and each repair.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range []family{
		c.verdicts, c.packets, c.unreadable, c.verdictErrors, c.waiting, c.dropped, c.unevaluated, c.published, c.seen,
		c.acknowledged, c.rejected, c.reevaluated, c.repairs, c.pods, c.isolated, c.held, c.heldPackets, c.learned, c.agentGone,
		c.floodPackets, c.flooding, c.entries, c.maxEntries,
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
	if q := v.FloodQueue; q != nil {
		out <- c.floodPackets.value(float64(q.Packets), "evaluated")
		out <- c.floodPackets.value(float64(q.Dropped), "dropped")
	}
	// A pod can have several addresses, but a metric must not occur twice. The list is sorted by rate,
	// so the first entry of a pod has the highest rate of this pod.
	seen := map[[2]string]bool{}
	for i := range s.Flooding {
		f := &s.Flooding[i]
		if labels := [2]string{f.Pod, f.Direction}; !seen[labels] {
			seen[labels] = true
			out <- c.flooding.value(float64(f.PerSecond), f.Pod, f.Direction)
		}
	}
	out <- c.unevaluated.value(float64(s.Unevaluated))
	if s.Held.Limit > 0 {
		c.collectHeld(&s.Held, out)
	}
	if t := s.Conntrack; t != nil {
		out <- c.entries.value(float64(t.Entries))
		out <- c.maxEntries.value(float64(t.Max))
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
