package peers

import (
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// NoNamespaceObject is the check no-namespace-object.
var NoNamespaceObject = check.Check{
	Name:       "no-namespace-object",
	Severities: []check.Severity{check.Note},
	Scopes:     []check.Scope{check.ScopeCluster},
	Doc:        "pods in a namespace without a Namespace object, if a policy has a `namespaceSelector`",
}

// WithoutObject returns the names of the namespaces for which the check no-namespace-object has
// a finding.
func WithoutObject(c *check.Cluster) (names []string) {
	if !slices.ContainsFunc(c.Policies, func(s *check.Policy) bool { return s.UsesNamespaces() }) {
		return nil
	}
	for _, s := range c.WithPods {
		if s.Object == nil {
			names = append(names, s.Name)
		}
	}
	return names
}

// MissingObject returns the finding of the check no-namespace-object for a namespace.
func MissingObject(namespace string) check.Finding {
	return check.Finding{
		Severity: check.Note, Check: NoNamespaceObject.Name, Namespace: namespace,
		Message: fmt.Sprintf("there are pods in namespace %s but no Namespace object: no namespaceSelector matches them, not even {}", namespace),
		Fix:     "add the Namespace object (kubectl get namespaces -o yaml)",
	}
}
