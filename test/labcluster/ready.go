package labcluster

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/test/eventually"
)

// objectTimeout is the time after which WaitRunning and WaitGone fail.
const objectTimeout = time.Minute

// WaitRunning waits until all pods of a namespace run.
func (c *Cluster) WaitRunning(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	return eventually.Poll(ctx, func(ctx context.Context) error {
		var list corev1.PodList
		if err := c.client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("listing pods: %w", err)
		}
		for i := range list.Items {
			if pod := &list.Items[i]; !c.runs(pod) {
				return fmt.Errorf("pod %s/%s does not run", namespace, pod.Name)
			}
		}
		return nil
	})
}

// runs reports whether a pod runs in the lab and has phase Running in its status.
func (c *Cluster) runs(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning && c.pods.get(pod.UID) != nil
}

// WaitGone waits until each of the objects is deleted, or replaced with another object of the
// same name.
func (c *Cluster) WaitGone(ctx context.Context, objects ...client.Object) error {
	ctx, cancel := context.WithTimeout(ctx, objectTimeout)
	defer cancel()
	for _, object := range objects {
		uid := object.GetUID()
		err := eventually.Poll(ctx, func(ctx context.Context) error {
			err := c.client.Get(ctx, client.ObjectKeyFromObject(object), object)
			switch {
			case apierrors.IsNotFound(err):
				return nil
			case err != nil:
				return fmt.Errorf("getting %s: %w", client.ObjectKeyFromObject(object), err)
			case uid == "":
				uid = object.GetUID()
			}
			if object.GetUID() != uid {
				return nil
			}
			return fmt.Errorf("%s is not deleted", client.ObjectKeyFromObject(object))
		})
		if err != nil {
			return err
		}
	}
	return nil
}
