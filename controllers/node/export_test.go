package node

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ReducedPod is what the cache keeps of a pod.
var ReducedPod = reducedPod

// Changes are what became of events of one kind.
type Changes = changes

// NewPodChanges are the changes of pods, as an agent has them.
func NewPodChanges() (*Changes, error) {
	m, err := newMetrics(prometheus.NewRegistry())
	return newChanges(kindPod, m), err
}

// Store is called by the cache for what it has.
func (c *changes) Store() func(any) ([]string, error) {
	return func(object any) ([]string, error) {
		c.store(object.(client.Object))
		return nil, nil
	}
}

// Take is called by a reconciler.
func (c *changes) Take(key types.NamespacedName) { c.take(key) }

// Contained is what a status says.
func (c *changes) Contained() uint64 { return c.contained() }
