package read_test

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/policy/read"
)

// A rule with a part that is not understood never allows traffic. An Accept rule then matches
// nothing, and any other rule denies everything.
func ExampleClusterNetworkPolicy() {
	var in unstructured.Unstructured
	err := yaml.Unmarshal([]byte(`
metadata: {name: baseline}
spec:
  tier: Baseline
  priority: 10
  subject: {namespaces: {}}
  egress:
  - action: Accept
    to: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]
    protocols: [{udp: {destinationPort: {number: 53}}}]
  - action: Accept
    to: [{services: {}}]
`), &in.Object)
	if err != nil {
		panic(err)
	}
	p, errors := read.ClusterNetworkPolicy(&in)
	fmt.Println(p, "in tier", p.Tier, "with priority", p.Priority, "selects", &p.Subject)
	fmt.Println(&p.Egress[0])
	fmt.Println(p.Egress[1].Field, "is invalid:", p.Egress[1].Invalid)
	fmt.Println(errors[0])
	// Output:
	// baseline in tier Baseline with priority 10 selects all pods in all namespaces
	// egress[0] to all pods in namespace kube-system on UDP 53
	// spec.egress[1] is invalid: true
	// spec.egress[1].to[0].services: the field is unknown: remove it, or use a version of Sluice that supports it; until this is fixed, the rule matches nothing
}
