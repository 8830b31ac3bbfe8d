package lint

import (
	"fmt"
	"slices"
)

var noNamespaceObject = Check{
	Name:       "no-namespace-object",
	Severities: []Severity{Note},
	Scopes:     []Scope{ScopeCluster},
	Doc:        "pods in a namespace without a Namespace object, if a policy has a `namespaceSelector`",
}

// withoutObject returns the names of the namespaces for which the check no-namespace-object has
// a finding.
func (c *cluster) withoutObject() (names []string) {
	if !slices.ContainsFunc(c.subjects, func(s *subject) bool { return s.UsesNamespaces() }) {
		return nil
	}
	for _, s := range c.withPods {
		if s.object == nil {
			names = append(names, s.name)
		}
	}
	return names
}

func missingObject(namespace string) Finding {
	return Finding{
		Severity: Note, Check: noNamespaceObject.Name, Namespace: namespace,
		Message: fmt.Sprintf("there are pods in namespace %s but no Namespace object: no namespaceSelector matches them, not even {}", namespace),
		Fix:     "add the Namespace object (kubectl get namespaces -o yaml)",
	}
}
