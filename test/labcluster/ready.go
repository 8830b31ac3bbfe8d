package labcluster

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// objectTimeout is how long the stand-ins may take.
const objectTimeout = time.Minute

// WaitRunning waits until every pod of a namespace runs.
func (c *Cluster) WaitRunning(ctx context.Context, namespace string) error {
	late := ""
	err := wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, objectTimeout, true, func(ctx context.Context) (bool, error) {
		var list corev1.PodList
		if err := c.client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return false, err
		}
		for i := range list.Items {
			pod := &list.Items[i]
			running := c.pods.get(client.ObjectKeyFromObject(pod))
			if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning || running == nil || running.uid != pod.UID {
				late = pod.Name
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for pod %s/%s to run: %w", namespace, late, err)
	}
	return nil
}

// WaitGone waits until objects are gone, or others of the same name are there.
func (c *Cluster) WaitGone(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		uid := object.GetUID()
		err := wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, objectTimeout, true, func(ctx context.Context) (bool, error) {
			err := c.client.Get(ctx, client.ObjectKeyFromObject(object), object)
			switch {
			case apierrors.IsNotFound(err):
				return true, nil
			case err == nil && uid == "":
				uid = object.GetUID()
			}
			return err == nil && object.GetUID() != uid, err
		})
		if err != nil {
			return fmt.Errorf("waiting until %s is gone: %w", client.ObjectKeyFromObject(object), err)
		}
	}
	return nil
}
