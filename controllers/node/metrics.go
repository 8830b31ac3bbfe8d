package node

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicenet/sluice/controllers/node/connection"
)

// metrics contains the metrics of the agent itself. controller-runtime adds the metrics of
// queues and reconcilers.
type metrics struct {
	objects, unreadable, connected            *prometheus.GaugeVec
	event, took, acknowledgement              prometheus.Histogram
	generation, acknowledged, size, dataplane prometheus.Gauge
	sandboxes, lingering                      prometheus.Gauge
	failures                                  prometheus.Counter
	lists                                     *prometheus.CounterVec
}

// latencies contains the histogram buckets, in seconds. They range from the shortest to the
// longest expected duration of a publication.
var latencies = []float64{.0005, .001, .002, .005, .01, .02, .03, .05, .1, .2, .5, 1, 2, 5, 10}

// RegisterMetrics registers the agent's metrics with their initial values. hack/refdocs uses it to
// generate docs/reference/metrics.md.
func RegisterMetrics(registry prometheus.Registerer) error {
	_, err := newMetrics(registry)
	return err
}

// newMetrics registers the agent's metrics.
func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "agent", Name: name, Help: help})
	}
	byKind := func(name, help string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "agent", Name: name, Help: help}, []string{"kind"})
		for _, k := range connection.Always() {
			v.WithLabelValues(string(k)).Set(0)
		}
		return v
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "sluice", Subsystem: "agent", Name: name, Help: help, Buckets: latencies})
	}
	m := &metrics{
		objects:         byKind("objects", "Number of objects in the caches of the agent. The kind OtherNode stands for the Node objects of all nodes except that of the agent."),
		unreadable:      byKind("unreadable_objects", "Number of objects with a part that the agent cannot read. The agent ignores this part."),
		connected:       byKind("api_server_connected", "1 while requests for objects of the kind succeed, otherwise 0."),
		event:           histogram("event_to_publication_seconds", "Time from the first event of an object until the publication of a tree that contains the change."),
		took:            histogram("publication_seconds", "Duration of compiling, writing and renaming a tree."),
		acknowledgement: histogram("publication_to_acknowledgement_seconds", "Time from the publication of a tree until the dataplane has acknowledged the tree. After a publication, the agent polls the status of the dataplane, first after 20 ms and then at doubled intervals. The measured times include the wait for the next poll."),
		generation:      gauge("published_generation", "Newest published generation, 0 before the first publication."),
		acknowledged:    gauge("acknowledged_generation", "Acknowledged generation in the last status that the agent read from the dataplane."),
		size:            gauge("tree_bytes", "Size of the newest tree in bytes."),
		dataplane:       gauge("dataplane_up", "1 while the dataplane responds on its socket, otherwise 0."),
		sandboxes:       gauge("sandboxes", "Network attachments of pod sandboxes on the node, from the CNI results."),
		lingering:       gauge("lingering_pods", "Pods that stay isolated although their Pod objects are gone, because they still have a sandbox."),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "sluice", Subsystem: "agent", Name: "publication_failures_total", Help: "Failed publications.",
		}),
		lists: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "sluice", Subsystem: "agent", Name: "lists_total",
			Help: "Number of times that the agent listed all objects of the kind: once at startup, and once for each relist.",
		}, []string{"kind"}),
	}
	for _, k := range connection.Always() {
		m.lists.WithLabelValues(string(k))
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.objects, m.unreadable, m.connected, m.event, m.took, m.acknowledgement,
		m.generation, m.acknowledged, m.size, m.dataplane, m.sandboxes, m.lingering, m.failures, m.lists,
	} {
		errs = append(errs, registry.Register(c))
	}
	return m, errors.Join(errs...)
}

// publish records a publication and the time that has passed since each event that caused it.
func (m *metrics) publish(p publication, events []time.Time) {
	m.generation.Set(float64(p.generation))
	m.size.Set(float64(p.size))
	m.took.Observe(p.took.Seconds())
	for _, at := range events {
		m.event.Observe(p.at.Sub(at).Seconds())
	}
}
