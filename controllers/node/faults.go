package node

import (
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
)

// faults records the objects of one kind that cannot be read completely. The mutex of the type
// `state` guards it.
type faults struct {
	kind    kind
	log     logr.Logger
	metrics *metrics
	known   map[types.NamespacedName]string
}

func newFaults(k kind, log logr.Logger, m *metrics) *faults {
	return &faults{kind: k, log: log, metrics: m, known: map[types.NamespacedName]string{}}
}

// set records the fault of an object, and logs it unless the same fault was logged before. The
// `fault` parameter is nil if the object can be read completely.
func (f *faults) set(key types.NamespacedName, fault error) {
	if fault == nil {
		f.forget(key)
		return
	}
	if f.known[key] == fault.Error() {
		return
	}
	f.known[key] = fault.Error()
	f.metrics.unreadable.WithLabelValues(string(f.kind)).Set(float64(len(f.known)))
	f.log.Error(fault, "Object cannot be read completely: the parts in the error are ignored", "kind", f.kind, "object", key.String())
}

// forget removes the fault of a deleted object.
func (f *faults) forget(key types.NamespacedName) {
	if _, ok := f.known[key]; !ok {
		return
	}
	delete(f.known, key)
	f.metrics.unreadable.WithLabelValues(string(f.kind)).Set(float64(len(f.known)))
}
