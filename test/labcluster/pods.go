package labcluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/test/lab"
)

// runningPod is a pod that runs in the lab, from CNI ADD to CNI DEL.
type runningPod struct {
	object *corev1.Pod
	node   *Node
	// pod is nil if the pod uses the host network.
	pod *lab.Pod
	// cniResult is the path of the pod's CNI result, or "" if the pod has none.
	cniResult string

	// terminate is closed when the termination of the pod starts. killed is canceled when the
	// grace period is over.
	terminate chan struct{}
	killed    context.Context
	kill      context.CancelFunc

	// mu guards the fields below.
	mu      sync.Mutex
	servers []*lab.Server
	// terminating is true if terminate has been closed. timer calls kill at killAt.
	terminating bool
	killAt      time.Time
	timer       *time.Timer
}

func (r *runningPod) uid() types.UID { return r.object.UID }

// host returns the lab's host in which the containers run.
func (r *runningPod) host() *lab.Host {
	if r.pod == nil {
		return r.node.host.Host
	}
	return r.pod.Host
}

// end starts the termination of the pod. The pod is killed at the given time if it has not
// ended before. If the pod is already terminating, end replaces the previous time with an
// earlier time, and ignores a later time.
func (r *runningPod) end(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.terminating:
		r.terminating, r.killAt = true, at
		r.timer = time.AfterFunc(time.Until(at), r.kill)
		close(r.terminate)
	case at.Before(r.killAt):
		r.killAt = at
		r.timer.Reset(time.Until(at))
	}
}

func (r *runningPod) isTerminating() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.terminating
}

// pods contains the running pods, by UID. After a Pod object was deleted by force, a new pod
// with the same name may run at the same time as the old pod.
type pods struct {
	mu    sync.Mutex
	byUID map[types.UID]*runningPod
}

func newPods() *pods { return &pods{byUID: map[types.UID]*runningPod{}} }

func (p *pods) get(uid types.UID) *runningPod {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byUID[uid]
}

// named returns the running pods with a name.
func (p *pods) named(key types.NamespacedName) (out []*runningPod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.byUID {
		if client.ObjectKeyFromObject(r.object) == key {
			out = append(out, r)
		}
	}
	return out
}

func (p *pods) add(r *runningPod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byUID[r.uid()] = r
}

func (p *pods) remove(r *runningPod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byUID, r.uid())
}

// Pod returns a running pod. It returns nil if the pod does not run or uses the host network.
// If several pods with this name run, it prefers a pod that is not terminating.
func (c *Cluster) Pod(namespace, name string) *lab.Pod {
	var found *runningPod
	for _, r := range c.pods.named(types.NamespacedName{Namespace: namespace, Name: name}) {
		if found == nil || !r.isTerminating() {
			found = r
		}
	}
	if found == nil {
		return nil
	}
	return found.pod
}

// failed records an error of a pod. Close returns the recorded errors.
func (c *Cluster) failed(r *runningPod, err error) {
	c.faulting.Lock()
	defer c.faulting.Unlock()
	c.fault = errors.Join(c.fault, fmt.Errorf("pod %s: %w", client.ObjectKeyFromObject(r.object), err))
}
