package record

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=configmaps,resourceNames=sluice-nodes-left,verbs=get;create;patch

// LeftName is the name of the ConfigMap that lists the nodes from which the rules were not removed.
const LeftName = "sluice-nodes-left"

// leftDescription explains the ConfigMap to users.
const leftDescription = "Nodes from which Sluice did not remove its rules, with the time and the reason. " +
	"If such a node still exists, run `sluice dataplane --uninstall` on it or reboot it, and delete its entry."

// Left is the list of nodes whose NodeEnforcer was released although the node did not prove that
// nothing of Sluice is left on it. The list is the data of a ConfigMap in the namespace of the
// operator: the name of a node is the key, and the value contains a time and a reason. The
// ConfigMap has no owner, so it remains after the uninstallation.
type Left struct {
	// Reader reads from the API server, because no cache contains ConfigMaps.
	Reader    client.Reader
	Client    client.Client
	Namespace string
	// FieldOwner is the name under which the list is written.
	FieldOwner string
}

// Nodes returns the entries of the list by the name of the node.
func (l *Left) Nodes(ctx context.Context) (map[string]string, error) {
	var list corev1.ConfigMap
	err := l.Reader.Get(ctx, client.ObjectKey{Namespace: l.Namespace, Name: LeftName}, &list)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("reading the list of nodes left: %w", err)
	}
	return list.Data, nil
}

// Change adds each node in `reasons` to the list, with its reason. It removes the nodes in
// `proved`, because they have proved that nothing is left on them. An entry that already exists
// does not change. If the list stays the same, Change sends no write.
func (l *Left) Change(ctx context.Context, reasons map[string]string, proved []string) error {
	before, err := l.Nodes(ctx)
	if err != nil {
		return err
	}
	after := map[string]string{}
	maps.Copy(after, before)
	for _, node := range proved {
		delete(after, node)
	}
	for node, reason := range reasons {
		if _, listed := after[node]; !listed {
			after[node] = time.Now().UTC().Format(time.RFC3339) + " " + reason
		}
	}
	if maps.Equal(before, after) {
		return nil
	}
	return l.write(ctx, after)
}

// write replaces the list. It uses server-side apply because the path of such a request contains
// the name of the object. A role can therefore restrict the creation of ConfigMaps to this name.
func (l *Left) write(ctx context.Context, nodes map[string]string) error {
	data := map[string]any{}
	for node, text := range nodes {
		data[node] = text
	}
	list := &unstructured.Unstructured{Object: map[string]any{"data": data}}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	list.SetNamespace(l.Namespace)
	list.SetName(LeftName)
	list.SetAnnotations(map[string]string{"kubernetes.io/description": leftDescription})
	err := l.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(list), client.FieldOwner(l.FieldOwner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("writing the list of nodes left: %w", err)
	}
	return nil
}
