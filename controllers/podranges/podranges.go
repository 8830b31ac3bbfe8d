// Package podranges publishes two lists of pod ranges for the dataplane of a node: the ranges
// of the cluster and the ranges of the node. The ranges are the podCIDRs of the Nodes, and
// additional ranges.
package podranges

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"
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

// maxRanges is the maximum number of ranges of one address family in a published list.
const maxRanges = 32

// publisher publishes pod ranges in a state directory.
type publisher struct {
	client         client.Reader
	node, stateDir string
	// more contains ranges that are published in addition to the podCIDRs of the Nodes.
	more []netip.Prefix
}

// Add adds a reconciler to a manager. The reconciler publishes the pod ranges in the directory
// stateDir each time they change. The dataplane that reads them runs on the Node with the name
// node. The prefixes in more are published as ranges of the cluster, in addition to the
// podCIDRs of the Nodes.
func Add(mgr manager.Manager, node, stateDir string, more []netip.Prefix, options controller.Options) error {
	all := func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: node}}}
	}
	err := builder.ControllerManagedBy(mgr).
		Named("podranges").
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(all)).
		WithOptions(options).
		Complete(&publisher{mgr.GetClient(), node, stateDir, more})
	if err != nil {
		return fmt.Errorf("pod ranges controller: %w", err)
	}
	return nil
}

// Reconcile publishes the current ranges if they differ from the published ranges.
func (p *publisher) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	var nodes corev1.NodeList
	if err := p.client.List(ctx, &nodes); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing nodes: %w", err)
	}
	want := report.PodRanges{Node: []netip.Prefix{}}
	all := slices.Clone(p.more)
	for i := range nodes.Items {
		node, _ := policy.ReadNode(&nodes.Items[i])
		all = append(all, node.PodRanges...)
		if node.Name == p.node {
			want.Node = merge(node.PodRanges)
		}
	}
	want.Cluster = merge(all)
	have, err := statedir.ReadPodRanges(p.stateDir)
	if err == nil && slices.Equal(have.Cluster, want.Cluster) && slices.Equal(have.Node, want.Node) {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, statedir.WritePodRanges(p.stateDir, want)
}

// merge returns the smallest number of prefixes that contain all given prefixes, but at most
// maxRanges of each address family. IPv4 prefixes come first. To reach the limit of a family,
// merge shortens the longest prefixes of the family, so the result can also contain addresses
// that no pod can have.
func merge(all []netip.Prefix) []netip.Prefix {
	out := []netip.Prefix{}
	for _, is4 := range []bool{true, false} {
		merged := union(all, is4, 128)
		for bits := 127; len(merged) > maxRanges; bits-- {
			merged = union(all, is4, bits)
		}
		out = append(out, merged...)
	}
	return out
}

// union shortens the given prefixes of one address family to at most the given number of bits.
// It returns the smallest number of prefixes that contain the shortened prefixes.
func union(all []netip.Prefix, is4 bool, bits int) []netip.Prefix {
	var builder netipx.IPSetBuilder
	for _, p := range all {
		if p.IsValid() && p.Bits() > 0 && p.Addr().Is4() == is4 {
			builder.AddPrefix(netip.PrefixFrom(p.Addr(), min(p.Bits(), bits)).Masked())
		}
	}
	// IPSet returns an error only after a call with an invalid argument.
	set, err := builder.IPSet()
	if err != nil {
		return nil
	}
	return set.Prefixes()
}
