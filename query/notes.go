package query

import (
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/policy"
)

// maxNotes is the number of policy errors that Notes lists.
const maxNotes = 10

// Notes lists what makes verdicts differ from what a reader of the objects may
// expect.
func (c *Cluster) Notes() []string {
	var notes []string
	if missing := c.set.NamespacesWithoutObject(); len(missing) > 0 && c.selectsNamespaces() {
		notes = append(notes, fmt.Sprintf("no Namespace object for %s: no namespaceSelector matches the pods there", few(missing)))
	}
	problems := c.snapshot.Problems()
	for i, p := range problems {
		if i == maxNotes {
			notes = append(notes, fmt.Sprintf("and %d more; sluice lint lists them", len(problems)-i))
			break
		}
		notes = append(notes, "policy "+p.String())
	}
	return notes
}

// selectsNamespaces reports whether any policy has a namespaceSelector.
func (c *Cluster) selectsNamespaces() bool {
	for _, object := range c.snapshot.Policies() {
		p, _ := policy.ReadNetworkPolicy(object)
		if slices.ContainsFunc(slices.Concat(p.Ingress, p.Egress), selectsNamespaces) {
			return true
		}
	}
	return false
}

func selectsNamespaces(r policy.Rule) bool {
	return slices.ContainsFunc(r.Peers, func(p policy.Peer) bool { return p.Namespaces.Present() })
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
