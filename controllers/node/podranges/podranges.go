// Package podranges publishes two lists of pod ranges for the dataplane of a node: the ranges
// of the cluster, which the operator publishes in a ConfigMap, and the podCIDRs of the node.
package podranges

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/controllers/podranges"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=configmaps,resourceNames=sluice-pod-ranges,verbs=get;list;watch

// publisher publishes pod ranges in a state directory.
type publisher struct {
	client client.Reader
	// namespace is the namespace of the ConfigMap, node is the name of the Node, and
	// stateDir is the state directory.
	namespace, node, stateDir string
}

// Add adds a reconciler to a manager. The reconciler publishes the pod ranges in the directory
// stateDir each time they change. The `namespace` parameter is the namespace of the ConfigMap
// with the ranges of the cluster. The `node` parameter is the name of the Node on which the
// dataplane runs.
func Add(mgr manager.Manager, namespace, node, stateDir string, options controller.Options) error {
	one := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: node}}}
	})
	err := builder.ControllerManagedBy(mgr).
		Named("podranges").
		Watches(&corev1.Node{}, one).
		Watches(&corev1.ConfigMap{}, one).
		WithOptions(options).
		Complete(&publisher{mgr.GetClient(), namespace, node, stateDir})
	if err != nil {
		return fmt.Errorf("pod ranges controller: %w", err)
	}
	return nil
}

// Reconcile publishes the current ranges if they differ from the published ranges.
func (p *publisher) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var (
		node   corev1.Node
		ranges corev1.ConfigMap
	)
	err := p.client.Get(ctx, client.ObjectKey{Name: p.node}, &node)
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("reading Node %s: %w", p.node, err)
	}
	err = p.client.Get(ctx, client.ObjectKey{Namespace: p.namespace, Name: podranges.Name}, &ranges)
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("reading ConfigMap %s: %w", podranges.Name, err)
	}
	own := podranges.Parse(node.Spec.PodCIDRs)
	want := report.PodRanges{
		Node:    podranges.Merge(own),
		Cluster: podranges.Merge(append(podranges.Parse(strings.Fields(ranges.Data[podranges.Key])), own...)),
	}
	have, err := statedir.ReadPodRanges(p.stateDir)
	if err == nil && slices.Equal(have.Cluster, want.Cluster) && slices.Equal(have.Node, want.Node) {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, statedir.WritePodRanges(p.stateDir, want)
}
