package live

import (
	"context"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
)

// Policies reads all NetworkPolicies and ClusterNetworkPolicies, but no other objects. If the user
// lacks the right to list one of these kinds, the error names all missing rights.
func (c *Connection) Policies(ctx context.Context) ([]*policy.Policy, error) {
	b := builder{origin: inventory.Origin{File: c.Name}}
	denied := denials{verb: "list"}
	const clustered = "clusternetworkpolicies." + read.Group
	tiers, _, err := c.ClusterNetworkPolicies(ctx)
	if err := denied.add(clustered, err); err != nil {
		return nil, fmt.Errorf("listing %s: %w", clustered, err)
	}
	b.addClusterPolicies(tiers)
	var page networkingv1.NetworkPolicyList
	const resource = "networkpolicies.networking.k8s.io"
	err = c.list(ctx, &page, func() { b.addPolicies(page.Items) })
	if err := denied.add(resource, err); err != nil {
		return nil, fmt.Errorf("listing %s: %w", resource, err)
	}
	if err := denied.err(); err != nil {
		return nil, err
	}
	out := make([]*policy.Policy, 0, len(b.set.Policies))
	for i := range b.set.Policies {
		out = append(out, b.set.Policies[i].Policy)
	}
	return out, nil
}
