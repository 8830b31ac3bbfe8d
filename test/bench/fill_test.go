package bench_test

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/labcluster"
)

// writers is how many objects are written at once.
const writers = 32

// fill makes the objects of a cluster on an API server: pods of cluster.LocalNode
// on another node, and none of them more than an object.
func fill(b *testing.B, c client.Client, objects *cluster.Realistic, local string) {
	b.Helper()
	ctx := b.Context()
	write := func(each func(do func(func() error))) {
		b.Helper()
		var group errgroup.Group
		group.SetLimit(writers)
		each(group.Go)
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	nodeName := func(name string) string {
		if name == cluster.LocalNode {
			return local
		}
		return "far-" + name
	}
	write(func(do func(func() error)) {
		for namespace := range objects.Namespaces() {
			do(func() error {
				err := c.Create(ctx, namespace)
				if apierrors.IsAlreadyExists(err) {
					return c.Update(ctx, namespace)
				}
				return err
			})
		}
		for node := range objects.Nodes() {
			if node.Name == cluster.LocalNode {
				continue
			}
			node.Name = nodeName(node.Name)
			status := node.Status
			do(func() error {
				if err := c.Create(ctx, node); err != nil {
					return err
				}
				node.Status = status
				return c.Status().Update(ctx, node)
			})
		}
	})
	write(func(do func(func() error)) {
		for pod := range objects.Pods() {
			pod.Spec.NodeName = nodeName(pod.Spec.NodeName)
			pod.Spec.SchedulerName = labcluster.Nobody
			for i := range pod.Spec.Containers {
				pod.Spec.Containers[i].Image = "none"
			}
			dress(pod)
			status := pod.Status
			do(func() error { return createPod(c, b, pod, status) })
		}
		for _, policy := range objects.Policies() {
			do(func() error { return c.Create(ctx, policy.DeepCopy()) })
		}
	})
}

func createPod(c client.Client, b *testing.B, pod *corev1.Pod, status corev1.PodStatus) error {
	if err := c.Create(b.Context(), pod); err != nil {
		return fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	pod.Status = status
	return c.Status().Update(b.Context(), pod)
}
