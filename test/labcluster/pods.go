package labcluster

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/test/lab"
)

// runningPod is a pod that has a place in the lab.
type runningPod struct {
	uid  types.UID
	node *Node
	// pod is nil for one on the host's network.
	pod     *lab.Pod
	servers []*lab.Server
}

// pods are those that run.
type pods struct {
	mu    sync.Mutex
	byKey map[types.NamespacedName]*runningPod
}

func newPods() *pods { return &pods{byKey: map[types.NamespacedName]*runningPod{}} }

func (p *pods) get(key types.NamespacedName) *runningPod {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byKey[key]
}

func (p *pods) set(key types.NamespacedName, running *runningPod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if running == nil {
		delete(p.byKey, key)
		return
	}
	p.byKey[key] = running
}

// Pod gives the pod's place in the lab, nil if it has none.
func (c *Cluster) Pod(namespace, name string) *lab.Pod {
	running := c.pods.get(types.NamespacedName{Namespace: namespace, Name: name})
	if running == nil {
		return nil
	}
	return running.pod
}
