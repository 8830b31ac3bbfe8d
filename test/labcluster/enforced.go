package labcluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

const (
	// enforceTimeout limits how long it may take until a change is enforced on every
	// node, on a machine that runs other tests at the same time.
	enforceTimeout = time.Minute
	// barrierInterval is the time between two changes of the barrier's policy. An
	// agent reports new policies at once, and other objects together with them.
	barrierInterval = 1200 * time.Millisecond
	enforcePoll     = 25 * time.Millisecond
)

// The barrier is one object of each kind that has no effect. Events of a kind are
// delivered in order, so a node that has the newest change of the barrier also has
// every earlier change.
const (
	barrierNamespace = "lab-barrier"
	barrierName      = "barrier"
	// NoScheduler is the schedulerName of pods that the scheduler and the kubelet
	// ignore, such as the barrier. They exist only as objects.
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

// touch changes an annotation of a barrier object and returns the object's new
// resource version.
func (c *Cluster) touch(ctx context.Context, object client.Object) (uint64, error) {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"touched":"%d"}}}`, time.Now().UnixNano())
	if err := c.client.Patch(ctx, object, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return 0, fmt.Errorf("changing the barrier: %w", err)
	}
	return strconv.ParseUint(object.GetResourceVersion(), 10, 64)
}

// versions are the resource versions that a node must enforce.
type versions struct{ policies, pods, namespaces uint64 }

func (c *Cluster) raiseBarrier(ctx context.Context) (v versions, err error) {
	if v.namespaces, err = c.touch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: barrierNamespace}}); err != nil {
		return v, err
	}
	if v.pods, err = c.touch(ctx, barrierPod()); err != nil {
		return v, err
	}
	v.policies, err = c.touch(ctx, barrierPolicy())
	return v, err
}

// WaitEnforced waits until every node enforces all changes that were made before the
// call. It takes about a second, because nodes report it in their NodeEnforcers.
func (c *Cluster) WaitEnforced(ctx context.Context) error {
	return c.WaitEnforcedOn(ctx, c.nodes...)
}

// WaitEnforcedOn is like WaitEnforced, but waits only for the given nodes.
func (c *Cluster) WaitEnforcedOn(ctx context.Context, nodes ...*Node) error {
	ctx, cancel := context.WithTimeout(ctx, enforceTimeout)
	defer cancel()
	want, err := c.raiseBarrier(ctx)
	if err != nil {
		return err
	}
	poll, again := time.NewTicker(enforcePoll), time.NewTicker(barrierInterval)
	defer poll.Stop()
	defer again.Stop()
	for {
		late, err := c.late(ctx, want, nodes)
		if err == nil && late == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not enforced within %s: %s: %w", enforceTimeout, late, errors.Join(err, ctx.Err()))
		case <-again.C:
			// If the write fails, the next tick repeats it.
			_, _ = c.touch(ctx, barrierPolicy())
		case <-poll.C:
		}
	}
}

// late returns why a node does not enforce the wanted versions yet, or "" if all do.
func (c *Cluster) late(ctx context.Context, want versions, nodes []*Node) (string, error) {
	var list v1alpha1.NodeEnforcerList
	if err := c.client.List(ctx, &list); err != nil {
		return "", err
	}
	known := map[string]*v1alpha1.NodeEnforcer{}
	for i := range list.Items {
		known[list.Items[i].Name] = &list.Items[i]
	}
	for _, n := range nodes {
		enforcer := known[n.Name()]
		if enforcer == nil || enforcer.Status.Acknowledged == nil {
			return n.Name() + " enforces nothing yet", nil
		}
		has := enforcer.Status.Acknowledged.Contains
		for _, kind := range []struct {
			name string
			has  string
			want uint64
		}{{"NetworkPolicies", has.NetworkPolicies, want.policies}, {"Pods", has.Pods, want.pods}, {"Namespaces", has.Namespaces, want.namespaces}} {
			version, _ := strconv.ParseUint(kind.has, 10, 64)
			if version < kind.want {
				return fmt.Sprintf("%s has %s up to %q, want %d", n.Name(), kind.name, kind.has, kind.want), nil
			}
		}
	}
	return "", nil
}
