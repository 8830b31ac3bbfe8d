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
	// enforceTimeout is how long a change may take to be enforced on every node,
	// on a machine that is busy with other tests.
	enforceTimeout = time.Minute
	// barrierInterval is how often the barrier is changed anew. An agent tells of
	// new policies at once, and of the rest with them.
	barrierInterval = 1200 * time.Millisecond
	enforcePoll     = 25 * time.Millisecond
)

// The barrier is an object of each kind that means nothing. Events of a kind
// come in order, so who has its newest change has everything before it.
const (
	barrierNamespace = "lab-barrier"
	barrierName      = "barrier"
	// Nobody is the scheduler of pods that the stand-ins leave alone, such as the
	// barrier: they are objects and nothing else.
	Nobody = "nobody"
)

func barrierPolicy() *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: barrierNamespace, Name: barrierName}}
}

func barrierPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: barrierNamespace, Name: barrierName},
		Spec: corev1.PodSpec{
			SchedulerName: Nobody,
			Containers:    []corev1.Container{{Name: barrierName, Image: barrierName}},
		},
	}
}

func (c *Cluster) makeBarrier(ctx context.Context) error {
	return errors.Join(c.client.Create(ctx, barrierPod()), c.client.Create(ctx, barrierPolicy()))
}

// touch changes the barrier's object of a kind and gives its resource version.
func (c *Cluster) touch(ctx context.Context, object client.Object) (uint64, error) {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"touched":"%d"}}}`, time.Now().UnixNano())
	if err := c.client.Patch(ctx, object, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return 0, fmt.Errorf("changing the barrier: %w", err)
	}
	return strconv.ParseUint(object.GetResourceVersion(), 10, 64)
}

// versions are the resource versions that a node's enforcement must contain.
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

// WaitEnforced waits until every node whose agent runs enforces everything that
// was written before the call. The word of each node is its NodeEnforcer, so it
// takes about a second.
func (c *Cluster) WaitEnforced(ctx context.Context) error {
	return c.WaitEnforcedOn(ctx, c.nodes...)
}

// WaitEnforcedOn is WaitEnforced for some nodes.
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
			// A write that fails is tried again with the next.
			_, _ = c.touch(ctx, barrierPolicy())
		case <-poll.C:
		}
	}
}

// late names a node that does not enforce what it should, and why.
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
