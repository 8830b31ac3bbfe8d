package live

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// Reports is what Sluice says about itself in a cluster.
type Reports struct {
	// Enforcer is nil where nobody asked for enforcement.
	Enforcer *v1alpha1.Enforcer
	Nodes    []v1alpha1.NodeEnforcer
	Policies []v1alpha1.PolicyStatus
}

// Reports reads what operator and agents report. The error is a
// NotInstalledError where the cluster does not know the kinds, and names every
// kind that the caller may not read.
func (c *Connection) Reports(ctx context.Context) (*Reports, error) {
	r := &Reports{}
	refused := refusals{verb: "list"}
	// Enforcer is listed as well: only of a list, "not found" means the kind.
	var (
		enforcers v1alpha1.EnforcerList
		nodes     v1alpha1.NodeEnforcerList
		policies  v1alpha1.PolicyStatusList
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
	} {
		resource := kind.resource + "." + v1alpha1.GroupVersion.Group
		err := c.list(ctx, kind.into, kind.add)
		if err := refused.note(resource, err); err != nil {
			return nil, fmt.Errorf("listing %s: %w", resource, notInstalled(err))
		}
	}
	if err := refused.err(); err != nil {
		return nil, err
	}
	return r, nil
}
