package query

import (
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/query/internal/phrase"
)

// maxNotes is the maximum number of policy errors that Notes lists.
const maxNotes = 10

// Notes lists reasons why a verdict can differ from what the user expects, such as errors in
// policies.
func (c *Cluster) Notes() []string {
	var notes []string
	if missing := c.set.NamespacesWithoutObject(); len(missing) > 0 && c.selectsNamespaces() {
		notes = append(notes, fmt.Sprintf("no Namespace object for %s: no namespaceSelector matches the pods there", phrase.Few(missing)))
	}
	var errors []string
	for _, p := range c.snapshot.Policies() {
		for _, e := range p.Errors {
			errors = append(errors, fmt.Sprintf("policy %s: %s", p, e))
		}
	}
	if more := len(errors) - maxNotes; more > 0 {
		errors = append(errors[:maxNotes], fmt.Sprintf("and %d more; sluice lint lists them", more))
	}
	return append(notes, errors...)
}

// selectsNamespaces reports whether any policy contains a namespaceSelector.
func (c *Cluster) selectsNamespaces() bool {
	return slices.ContainsFunc(c.snapshot.Policies(), (*policy.Policy).UsesNamespaces)
}

// HasAddresses reports whether any pod has an address.
func (c *Cluster) HasAddresses() bool {
	for i := range c.set.Pods {
		if len(c.set.Pods[i].Addresses) > 0 {
			return true
		}
	}
	return false
}
