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

// runningPod is a pod in the lab, from its addition to the network (CNI ADD) until its removal
// (CNI DEL).
type runningPod struct {
	object *corev1.Pod
	node   *Node
	// pod is nil if the pod uses the host network.
	pod *lab.Pod
	// cniResult is the path of the pod's CNI result. It is "" if the pod has no CNI result.
	cniResult string

	// `terminate` is closed when the termination of the pod starts. The context `killed` is
	// canceled when the grace period is over.
	terminate chan struct{}
	killed    context.Context
	kill      context.CancelFunc

	// mu guards the fields below.
	mu      sync.Mutex
	servers []*lab.Server
	// terminating is true if the channel `terminate` is closed. In this case, `timer` calls the
	// function `kill` at the time `killAt`.
	terminating bool
	killAt      time.Time
	timer       *time.Timer
}

func (r *runningPod) uid() types.UID { return r.object.UID }

// host returns the host in the lab in which the containers of the pod run.
func (r *runningPod) host() *lab.Host {
	if r.pod == nil {
		return r.node.host.Host
	}
	return r.pod.Host
}

// end starts the termination of the pod. If the pod still runs at the given time, it is killed. If
// this method is called again, the earlier of the two times applies.
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

// pods contains the running pods, by UID. If a Pod object was deleted by force, the old pod may
// still run when a new pod with the same name starts.
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

// The method `named` returns all running pods with the given namespace and name.
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

// Pod returns the running pod with the given namespace and name. If several such pods run, it
// prefers a pod that is not terminating. If no such pod runs, or if the pod uses the host
// network, it returns nil.
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

// The method `failed` records an error of a pod. The method Close of the cluster returns all
// recorded errors.
func (c *Cluster) failed(r *runningPod, err error) {
	c.faultMu.Lock()
	defer c.faultMu.Unlock()
	c.fault = errors.Join(c.fault, fmt.Errorf("pod %s: %w", client.ObjectKeyFromObject(r.object), err))
}
