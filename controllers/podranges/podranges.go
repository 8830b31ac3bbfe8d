// Package podranges publishes the pod ranges of the cluster and of one node for the
// dataplane of the node. It reads the ranges from the podCIDRs of the Nodes.
package podranges

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/policy"
)

// maxRanges is the largest number of cluster ranges that are published.
const maxRanges = 64

// publisher publishes pod ranges in a state directory.
type publisher struct {
	client         client.Reader
	node, stateDir string
}

// Add adds a reconciler to a manager that publishes the pod ranges in a state directory,
// and again each time they change. node is the name of the Node of the dataplane.
func Add(mgr manager.Manager, node, stateDir string, options controller.Options) error {
	all := func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: node}}}
	}
	err := builder.ControllerManagedBy(mgr).
		Named("podranges").
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(all)).
		WithOptions(options).
		Complete(&publisher{mgr.GetClient(), node, stateDir})
	if err != nil {
		return fmt.Errorf("pod ranges controller: %w", err)
	}
	return nil
}

// Reconcile publishes the ranges of all Nodes if they have changed.
func (p *publisher) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var nodes corev1.NodeList
	if err := p.client.List(ctx, &nodes); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing nodes: %w", err)
	}
	want := report.PodRanges{Node: []netip.Prefix{}}
	var all []netip.Prefix
	for i := range nodes.Items {
		node, _ := policy.ReadNode(&nodes.Items[i])
		all = append(all, node.PodRanges...)
		if node.Name == p.node {
			want.Node = aggregate(node.PodRanges, maxRanges)
		}
	}
	want.Cluster = aggregate(all, maxRanges)
	have, err := statedir.ReadPodRanges(p.stateDir)
	if err == nil && slices.Equal(have.Cluster, want.Cluster) && slices.Equal(have.Node, want.Node) {
		return reconcile.Result{}, nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) || len(want.Cluster) > 0 {
		return reconcile.Result{}, statedir.WritePodRanges(p.stateDir, want)
	}
	return reconcile.Result{}, err
}

// aggregate returns the smallest sorted list of prefixes with the same addresses. It omits
// what does not fit into limit prefixes.
func aggregate(in []netip.Prefix, limit int) []netip.Prefix {
	out := []netip.Prefix{}
	for _, p := range in {
		if p.IsValid() && p.Bits() > 0 {
			out = append(out, p.Masked())
		}
	}
	for merged := true; merged; {
		slices.SortFunc(out, netip.Prefix.Compare)
		out, merged = join(out)
	}
	return out[:min(len(out), limit)]
}

// join removes sorted prefixes that another prefix contains, and joins the halves of a
// prefix. It reports whether it has joined any.
func join(in []netip.Prefix) (out []netip.Prefix, joined bool) {
	out = in[:0]
	for _, p := range in {
		if n := len(out) - 1; n >= 0 {
			last := out[n]
			if last.Overlaps(p) {
				continue
			}
			parent := netip.PrefixFrom(last.Addr(), last.Bits()-1).Masked()
			if last.Bits() == p.Bits() && last.Bits() > 1 && parent.Contains(p.Addr()) {
				out[n], joined = parent, true
				continue
			}
		}
		out = append(out, p)
	}
	return out, joined
}
