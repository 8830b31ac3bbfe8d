package labcluster

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/test/lab"
)

// runningPod is a pod that runs in the lab.
type runningPod struct {
	uid  types.UID
	node *Node
	// pod is nil if the pod uses the host network.
	pod     *lab.Pod
	servers []*lab.Server
}

// pods contains the running pods by the namespace and name of their objects.
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

// Pod returns a running pod. It returns nil if the pod does not run or uses the
// host network.
func (c *Cluster) Pod(namespace, name string) *lab.Pod {
	running := c.pods.get(types.NamespacedName{Namespace: namespace, Name: name})
	if running == nil {
		return nil
	}
	return running.pod
}
