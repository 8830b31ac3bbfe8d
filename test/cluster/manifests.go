package cluster

import (
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"
)

// WriteManifests writes all objects as a stream of YAML documents.
func (o *Objects) WriteManifests(w io.Writer) error {
	for _, change := range o.Created() {
		version, kind := kindOf(change.Object)
		text, err := yaml.Marshal(change.Object)
		if err != nil {
			return fmt.Errorf("writing %s %s: %w", kind, change.Object.GetName(), err)
		}
		if _, err := fmt.Fprintf(w, "---\napiVersion: %s\nkind: %s\n%s", version, kind, text); err != nil {
			return err
		}
	}
	return nil
}

func kindOf(object any) (version schema.GroupVersion, kind string) {
	switch object.(type) {
	case *corev1.Namespace:
		return corev1.SchemeGroupVersion, "Namespace"
	case *corev1.Node:
		return corev1.SchemeGroupVersion, "Node"
	case *corev1.Pod:
		return corev1.SchemeGroupVersion, "Pod"
	case *networkingv1.NetworkPolicy:
		return networkingv1.SchemeGroupVersion, "NetworkPolicy"
	default:
		return schema.GroupVersion(v1beta1.GroupVersion), "ClusterNetworkPolicy"
	}
}
