package live

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// Reports contains the status objects of Sluice in a cluster.
type Reports struct {
	// Enforcer is nil if the cluster contains no Enforcer.
	Enforcer *v1alpha1.Enforcer
	Nodes    []v1alpha1.NodeEnforcer
	Policies []v1alpha1.PolicyStatus
	// ClusterPolicies is empty if the cluster does not serve the kind ClusterPolicyStatus, which
	// older operators do not install.
	ClusterPolicies []v1alpha1.ClusterPolicyStatus
}

// Reports reads the status objects that the operator and the agents write. If the CRDs are not
// installed, it returns a NotInstalledError. If the user lacks the right to list one or more of the
// kinds, the error names all of them.
func (c *Connection) Reports(ctx context.Context) (*Reports, error) { return c.reports(ctx, true) }

// Installed does the same as Reports, but does not read the statuses of policies.
func (c *Connection) Installed(ctx context.Context) (*Reports, error) { return c.reports(ctx, false) }

func (c *Connection) reports(ctx context.Context, policyStatuses bool) (*Reports, error) {
	r := &Reports{}
	denied := denials{verb: "list"}
	// List all Enforcers instead of getting the single Enforcer. For a get request, the API server
	// responds with "not found" in two cases that must be distinguished: the kind does not exist,
	// or the object does not exist.
	var (
		enforcers v1alpha1.EnforcerList
		nodes     v1alpha1.NodeEnforcerList
		policies  v1alpha1.PolicyStatusList
		clustered v1alpha1.ClusterPolicyStatusList
	)
	for _, kind := range []struct {
		resource string
		into     client.ObjectList
		add      func()
	}{
		{"enforcers", &enforcers, func() {
			for i := range enforcers.Items {
				if enforcers.Items[i].Name == v1alpha1.EnforcerName {
					r.Enforcer = enforcers.Items[i].DeepCopy()
				}
			}
		}},
		{"nodeenforcers", &nodes, func() { r.Nodes = append(r.Nodes, nodes.Items...) }},
		{"policystatuses", &policies, func() { r.Policies = append(r.Policies, policies.Items...) }},
		{"clusterpolicystatuses", &clustered, func() { r.ClusterPolicies = append(r.ClusterPolicies, clustered.Items...) }},
	} {
		if !policyStatuses && (kind.into == &policies || kind.into == &clustered) {
			continue
		}
		resource := kind.resource + "." + v1alpha1.GroupVersion.Group
		err := c.list(ctx, kind.into, kind.add)
		if kind.into == &clustered && apierrors.IsNotFound(err) {
			continue
		}
		if err := denied.add(resource, err); err != nil {
			return nil, fmt.Errorf("listing %s: %w", resource, notInstalled(err))
		}
	}
	if err := denied.err(); err != nil {
		return nil, err
	}
	return r, nil
}
