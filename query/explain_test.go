package query_test

import (
	"strings"
	"testing"

	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/test/cluster"
)

// explanationText explains a TCP flow and returns the text of the explanation.
func explanationText(t *testing.T, manifests, from, to, port string) string {
	t.Helper()
	e, err := newCluster(t, manifests).Explain(query.ExplainQuestion{From: from, To: to, Target: query.Target{Port: port, Protocol: "TCP"}})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := e.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestExplainFindsAPodWithAnAddress(t *testing.T) {
	pending := func(text, address string) string {
		return strings.Replace(text, "status: {phase: Running, podIP: "+address+"}", "status: {phase: Pending}", 1)
	}
	manifests := cluster.TwoNodes + pending(deployment("api", 3, 5), "10.5.0.1")
	if text := explanationText(t, manifests, "api", "db", "5432"); !strings.Contains(text, "default/api-abc-2 (10.5.0.2)") {
		t.Error(text)
	}
}

func TestExplainUsesTheAddressOfTheNodeForAPodInTheHostNetwork(t *testing.T) {
	manifests := cluster.TwoNodes + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: agent}\nspec: {nodeName: n1, hostNetwork: true}\n"
	const want = "Egress from default/agent (192.168.0.1 on n1) is allowed: the pod is in its node's network"
	if text := explanationText(t, manifests, "agent", "db", "80"); !strings.Contains(text, want) {
		t.Error(text)
	}
}

func TestNotes(t *testing.T) {
	manifests := strings.Replace(cluster.TwoNodes, "kind: Namespace\nmetadata: {name: default}", "kind: Service\nmetadata: {name: default}", 1)
	manifests = strings.Replace(manifests, "podSelector: {matchLabels: {app: web}}}", "namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/99}}", 1)
	got := strings.Join(newCluster(t, manifests).Notes(), "\n")
	want := "no Namespace object for default: no namespaceSelector matches the pods there\n" +
		`policy default/db: spec.ingress[0].from[1].ipBlock.cidr: "10.0.0.0/99" `
	if !strings.HasPrefix(got, want) {
		t.Errorf("notes %q, want %q", got, want)
	}
}
