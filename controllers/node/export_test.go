package node

import (
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/sluicenet/sluice/policy"
)

// PodRead returns the parts of a Pod that the cache keeps.
func PodRead(in *corev1.Pod) (pod *policy.Pod, fault error) {
	kept := podRead(in)
	return kept.pod, kept.fault
}

// Changes is the source of one kind's changes.
type Changes = changes

// NewPodChanges returns the source of the changes of Pods.
func NewPodChanges(informer cache.SharedIndexInformer) (*Changes, error) {
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	return newChanges(kindPod, informer, m)
}

// Delivered is closed when the informer has delivered all objects of its first list.
func (c *changes) Delivered() <-chan struct{} { return c.delivered }

// Take takes the change of an object, as a reconciler does.
func (c *changes) Take(key types.NamespacedName) { c.take(key) }

// Contained returns the version that a new tree contains.
func (c *changes) Contained() uint64 { return c.contained() }

// AtMostLast returns the version that a status reports for a contained version.
func (c *changes) AtMostLast(version uint64) uint64 { return c.atMostLast(version) }
