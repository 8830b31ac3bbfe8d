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
	// enforceTimeout is the time within which every node must enforce a change. It is long
	// because other tests can run on the machine at the same time.
	enforceTimeout = time.Minute
	// barrierInterval is the time between two changes of the barrier's policy. An agent reports
	// a change of a policy within a second. A change of another object does not cause a report
	// at once, but the next report includes it. So each change of the barrier's policy makes
	// the agents report all changes that they have received.
	barrierInterval = 1200 * time.Millisecond
	enforcePoll     = 25 * time.Millisecond
)

// The barrier consists of one object of each kind. These objects do not affect any verdict. The
// API server delivers the events for objects of one kind in order. So if a node has received
// the newest change of the barrier's object, it has also received all earlier changes of other
// objects of the same kind.
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
func (c *Cluster) touch(ctx context.Context, object client.Object) (uint64, error) {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"touched":"%d"}}}`, time.Now().UnixNano())
	if err := c.client.Patch(ctx, object, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return 0, fmt.Errorf("changing the barrier: %w", err)
	}
	return strconv.ParseUint(object.GetResourceVersion(), 10, 64)
}

// versions contains, for each kind, the resource version that a node must enforce.
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

// WaitEnforced waits until every node enforces all changes that were made before the call. It
// takes about a second, because each node reports the enforced changes in its NodeEnforcer.
func (c *Cluster) WaitEnforced(ctx context.Context) error {
	return c.WaitEnforcedOn(ctx, c.nodes...)
}

// WaitEnforcedOn does the same as WaitEnforced, but waits only for the given nodes.
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
			// If the write fails, the loop tries it again after the next tick.
			_, _ = c.touch(ctx, barrierPolicy())
		case <-poll.C:
		}
	}
}

// late returns a message about a node that does not enforce the resource versions in the
// parameter want yet. If all nodes enforce these versions, late returns "".
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
