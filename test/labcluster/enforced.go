package labcluster

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// enforceTimeout is the time within which every node must enforce a change. It is long
	// because other tests can run on the machine at the same time.
	enforceTimeout = time.Minute
	enforcePoll    = 25 * time.Millisecond
)

// The barrier consists of one object of each kind. These objects do not affect any verdict. The
// API server delivers the events for objects of one kind in order. So a node that has received the
// newest change of the barrier's object has also received all earlier changes of objects of the
// same kind.
const (
	barrierNamespace = "lab-barrier"
	barrierName      = "barrier"
	// NoScheduler is the schedulerName of pods that exist only as objects, such as the
	// barrier's pod. The scheduler and the kubelet of the lab ignore these pods.
	NoScheduler = "none"
)

func barrierPolicy() *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: barrierNamespace, Name: barrierName}}
}

func barrierPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: barrierNamespace, Name: barrierName},
		Spec: corev1.PodSpec{
			SchedulerName: NoScheduler,
			Containers:    []corev1.Container{{Name: barrierName, Image: barrierName}},
		},
	}
}

func (c *Cluster) makeBarrier(ctx context.Context) error {
	return errors.Join(c.client.Create(ctx, barrierPod()), c.client.Create(ctx, barrierPolicy()))
}

// touch changes an annotation of a barrier object, and returns the new resource version of this
// object.
func (c *Cluster) touch(ctx context.Context, object client.Object) (string, error) {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"touched":"%d"}}}`, time.Now().UnixNano())
	if err := c.client.Patch(ctx, object, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return "", fmt.Errorf("changing the barrier: %w", err)
	}
	return object.GetResourceVersion(), nil
}

// raiseBarrier changes the objects of the barrier. It returns a function that checks whether
// the node of an agent enforces all changes that were made before the call.
func (c *Cluster) raiseBarrier(ctx context.Context) (check string, err error) {
	query := url.Values{}
	for kind, object := range map[string]client.Object{
		"Namespace": &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: barrierNamespace}}, "Pod": barrierPod(), "NetworkPolicy": barrierPolicy(),
	} {
		version, err := c.touch(ctx, object)
		if err != nil {
			return "", err
		}
		query.Set(kind, version)
	}
	return "/enforced?" + query.Encode(), nil
}

// WaitEnforced waits until every node enforces all changes that were made before the call.
func (c *Cluster) WaitEnforced(ctx context.Context) error {
	return c.WaitEnforcedOn(ctx, c.nodes...)
}

// WaitEnforcedOn does the same as WaitEnforced, but waits only for the given nodes.
func (c *Cluster) WaitEnforcedOn(ctx context.Context, nodes ...*Node) error {
	ctx, cancel := context.WithTimeout(ctx, enforceTimeout)
	defer cancel()
	check, err := c.raiseBarrier(ctx)
	if err != nil {
		return err
	}
	poll := time.NewTicker(enforcePoll)
	defer poll.Stop()
	for _, n := range nodes {
		for {
			err := n.Health(ctx, "agent", check)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s: not enforced within %s: %w", n.Name(), enforceTimeout, err)
			case <-poll.C:
			}
		}
	}
	return nil
}
