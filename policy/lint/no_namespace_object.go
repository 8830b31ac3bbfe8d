package lint

import (
	"fmt"
	"slices"
)

var noNamespaceObject = Check{
	Name:       "no-namespace-object",
	Severities: []Severity{Note},
	Doc:        "pods in a namespace without a Namespace object, if a policy has a `namespaceSelector`",
	run: func(p *pass) {
		if !slices.ContainsFunc(p.subjects, func(s *subject) bool { return s.UsesNamespaces() }) {
			return
		}
		for namespace := range p.podsByNamespace() {
			if p.namespaces[namespace] == nil {
				p.findings = append(p.findings, missingObject(p.check, namespace))
			}
		}
	},
}

func missingObject(check, namespace string) Finding {
	return Finding{
		Severity: Note, Check: check, Namespace: namespace,
		Message: fmt.Sprintf("there are pods in namespace %s but no Namespace object: no namespaceSelector matches them, not even {}", namespace),
		Fix:     "add the Namespace object (kubectl get namespaces -o yaml)",
	}
}
