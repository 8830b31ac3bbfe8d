package node

import (
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
)

// faults are the objects of one kind that cannot be read in full. Whoever calls
// it holds the world.
type faults struct {
	kind    kind
	log     logr.Logger
	metrics *metrics
	known   map[types.NamespacedName]string
}

func newFaults(k kind, log logr.Logger, m *metrics) *faults {
	return &faults{kind: k, log: log, metrics: m, known: map[types.NamespacedName]string{}}
}

// note reports a fault, once as long as it stays the same, or that there is none
// any more.
func (f *faults) note(key types.NamespacedName, fault error) {
	if fault == nil {
		f.forget(key)
		return
	}
	if f.known[key] == fault.Error() {
		return
	}
	f.known[key] = fault.Error()
	f.metrics.unreadable.WithLabelValues(string(f.kind)).Set(float64(len(f.known)))
	f.log.Error(fault, "Object cannot be read in full: the rest of it counts", "kind", f.kind, "object", key.String())
}

// forget takes back what was reported of an object.
func (f *faults) forget(key types.NamespacedName) {
	if _, ok := f.known[key]; !ok {
		return
	}
	delete(f.known, key)
	f.metrics.unreadable.WithLabelValues(string(f.kind)).Set(float64(len(f.known)))
}
