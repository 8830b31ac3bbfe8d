package node

import (
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/sluicenet/sluice/policy"
)

// PodRead gives what the cache keeps of a pod.
func PodRead(in *corev1.Pod) (pod *policy.Pod, fault error) {
	kept := podRead(in)
	return kept.pod, kept.fault
}

// Changes are what became of events of one kind.
type Changes = changes

// NewPodChanges are the changes of pods, as an agent has them.
func NewPodChanges(informer cache.SharedIndexInformer) (*Changes, error) {
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	return newChanges(kindPod, informer, m)
}

// Told is closed when all was told of that the informer began with.
func (c *changes) Told() <-chan struct{} { return c.told }

// Take is called by a reconciler.
func (c *changes) Take(key types.NamespacedName) { c.take(key) }

// Contained is what a tree is published with.
func (c *changes) Contained() uint64 { return c.contained() }

// Known is what a status says of a version.
func (c *changes) Known(version uint64) uint64 { return c.known(version) }
