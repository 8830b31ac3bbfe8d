// Package image finds the image that nodes run by default.
package image

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=pods,verbs=get

// operatorContainer is the name of the operator's container in its pod.
const operatorContainer = "operator"

// Default returns the image that nodes run unless the Enforcer specifies another
// image. The default is the image in the spec of the operator's own pod, because a
// kustomize overlay, OLM or a registry mirror may have changed the image.
func Default(ctx context.Context, config *rest.Config, namespace, name string) (string, error) {
	reader, err := client.New(config, client.Options{})
	if err != nil {
		return "", fmt.Errorf("preparing a client: %w", err)
	}
	var pod corev1.Pod
	if err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &pod); err != nil {
		return "", fmt.Errorf("reading the operator's own pod: %w", err)
	}
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name == operatorContainer && c.Image != "" {
			return c.Image, nil
		}
	}
	return "", fmt.Errorf("pod %s/%s has no container %s: rename its container, or set --image", namespace, name, operatorContainer)
}
