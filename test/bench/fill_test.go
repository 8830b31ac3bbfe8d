package bench_test

import (
	"iter"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/labcluster"
)

// writers is the number of writes to the API server that run at the same time.
const writers = 32

// fill creates the objects of a cluster on an API server. The `local` parameter is the name of the
// node that takes the place of cluster.LocalNode: the pods of LocalNode are bound to this node. The
// pods exist only as objects, without processes.
func fill(b *testing.B, server *kube.Server, objects *cluster.Realistic, local string) {
	b.Helper()
	ctx := b.Context()
	config := server.Config()
	config.QPS = -1
	c := server.ClientFor(b, config)
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
		for _, policy := range objects.Policies() {
			do(func() error { return c.Create(ctx, policy.DeepCopy()) })
		}
	})
	storePods(b, server, c, func(yield func(*corev1.Pod) bool) {
		for pod := range objects.Pods() {
			pod.Spec.NodeName = nodeName(pod.Spec.NodeName)
			pod.Spec.SchedulerName = labcluster.NoScheduler
			for i := range pod.Spec.Containers {
				pod.Spec.Containers[i].Image = "none"
			}
			dress(pod)
			if !yield(pod) {
				return
			}
		}
	})
}

// storePods writes pods directly into the storage of the API server. It creates only the first
// pod through the API server. The API server adds fields to the first pod, and storePods copies
// these fields to all other pods.
func storePods(b *testing.B, server *kube.Server, c client.Client, pods iter.Seq[*corev1.Pod]) {
	b.Helper()
	next, stop := iter.Pull(pods)
	defer stop()
	first, _ := next()
	status := first.Status
	err := c.Create(b.Context(), first)
	if err == nil {
		first.Status = status
		err = c.Status().Update(b.Context(), first)
	}
	if err == nil {
		err = server.StorePods(b.Context(), func(yield func(*corev1.Pod) bool) {
			for pod, ok := next(); ok; pod, ok = next() {
				pod.ManagedFields = first.ManagedFields
				if !yield(pod) {
					return
				}
			}
		})
	}
	if err != nil {
		b.Fatal(err)
	}
}
