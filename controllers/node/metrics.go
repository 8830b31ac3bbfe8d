package node

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the agent's own, beside those that controller-runtime has of
// queues and reconcilers.
type metrics struct {
	objects, unreadable, connected            *prometheus.GaugeVec
	event, took, acknowledgement              prometheus.Histogram
	generation, acknowledged, size, dataplane prometheus.Gauge
	failures                                  prometheus.Counter
	lists                                     *prometheus.CounterVec
}

// Seconds, from less than any publication takes to more than any may.
var latencies = []float64{.0005, .001, .002, .005, .01, .02, .03, .05, .1, .2, .5, 1, 2, 5, 10}

// newMetrics registers the agent's metrics.
func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "agent", Name: name, Help: help})
	}
	byKind := func(name, help string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "agent", Name: name, Help: help}, []string{"kind"})
		for _, k := range resources {
			v.WithLabelValues(string(k)).Set(0)
		}
		return v
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "sluice", Subsystem: "agent", Name: name, Help: help, Buckets: latencies})
	}
	m := &metrics{
		objects:         byKind("objects", "Objects in the caches."),
		unreadable:      byKind("unreadable_objects", "Objects of which a part cannot be read and is left out."),
		connected:       byKind("api_server_connected", "1 while the API server answers requests for the kind, else 0."),
		event:           histogram("event_to_publication_seconds", "Time from the first event of an object to the publication of a tree that holds it."),
		took:            histogram("publication_seconds", "Time to compile, write and rename a tree."),
		acknowledgement: histogram("publication_to_acknowledgement_seconds", "Time from a publication until the dataplane says that it holds for every packet, as far as the agent asks: every 20 ms at first."),
		generation:      gauge("published_generation", "Generation of the newest tree that this agent published, 0 before the first."),
		acknowledged:    gauge("acknowledged_generation", "Generation that the dataplane enforces, as it last said."),
		size:            gauge("tree_bytes", "Size of the newest tree."),
		dataplane:       gauge("dataplane_up", "1 while the dataplane answers on its socket, else 0."),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "sluice", Subsystem: "agent", Name: "publication_failures_total", Help: "Publications that failed.",
		}),
		lists: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "sluice", Subsystem: "agent", Name: "lists_total",
			Help: "Answers with all objects of a kind: one at the start, and one whenever a watch cannot go on from where it was.",
		}, []string{"kind"}),
	}
	for _, k := range resources {
		m.lists.WithLabelValues(string(k))
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.objects, m.unreadable, m.connected, m.event, m.took, m.acknowledgement,
		m.generation, m.acknowledged, m.size, m.dataplane, m.failures, m.lists,
	} {
		errs = append(errs, registry.Register(c))
	}
	return m, errors.Join(errs...)
}

// publish notes a publication and when the events behind it were.
func (m *metrics) publish(p publication, events []time.Time) {
	m.generation.Set(float64(p.generation))
	m.size.Set(float64(p.size))
	m.took.Observe(p.took.Seconds())
	for _, at := range events {
		m.event.Observe(p.at.Sub(at).Seconds())
	}
}
