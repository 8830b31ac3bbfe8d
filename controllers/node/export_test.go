package node

import (
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/sluicenet/sluice/controllers/node/connection"
	"github.com/sluicenet/sluice/policy"
)

// PodRead returns the parts of a Pod that the cache keeps, and the error about parts that
// cannot be read.
func PodRead(in *corev1.Pod) (pod *policy.Pod, fault error) {
	kept := podRead(in)
	return kept.pod, kept.fault
}

// Changes exports the event source of one kind for tests.
type Changes = changes

// NewPodChanges returns the event source for Pods.
func NewPodChanges(informer cache.SharedIndexInformer) (*Changes, error) {
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	return newChanges(connection.Pod, informer, m)
}

// Delivered is closed when the informer has delivered all objects of its first list.
func (c *changes) Delivered() <-chan struct{} { return c.delivered }

// Take marks the change of an object as taken, as a reconciler does.
func (c *changes) Take(key types.NamespacedName) { c.take(key) }

// Contained returns the newest resource version that a new tree would contain.
func (c *changes) Contained() uint64 { return c.contained() }

// AtMostLast limits the version in a tree to the last version that the API server sent.
func (c *changes) AtMostLast(version uint64) uint64 { return c.atMostLast(version) }
