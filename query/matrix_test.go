package query_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/test/cluster"
)

// deployment returns manifests for n pods of one Deployment.
func deployment(name string, n int, first byte) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Pod
metadata:
  name: %[1]s-abc-%[2]d
  labels: {app: %[1]s, pod-template-hash: abc}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: %[1]s-abc, uid: x, controller: true}]
status: {phase: Running, podIP: 10.%[3]d.0.%[2]d}
`, name, i+1, first)
	}
	return b.String()
}

// matrixText evaluates a matrix and returns its text.
func matrixText(t *testing.T, manifests string, question query.MatrixQuestion) string {
	t.Helper()
	m, err := newCluster(t, manifests).Matrix(&question)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := m.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestMatrixMergesPodsThatPoliciesTreatAlike(t *testing.T) {
	text := cluster.TwoNodes + deployment("api", 3, 5)
	got := matrixText(t, text, query.MatrixQuestion{Target: query.Target{Port: "5432", Protocol: "TCP"}, Addresses: []string{"203.0.113.7"}})
	want := `Connections on TCP port 5432, from rows to columns:

                 default/api (3)  default/db  default/web  203.0.113.7
default/api (3)  +                -           +            +
default/db       +                .           +            +
default/web      +                +           .            +
203.0.113.7      +                -           +            .

+ allowed, - denied, . not evaluated (the same pod, no address family in common, or no such port)
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("matrix (-want +got):\n%s", diff)
	}
	t.Run("unless a policy distinguishes them", func(t *testing.T) {
		text := strings.Replace(text, "ports: [{port: 5432}]", "ports: [{port: 5432}]}, {from: [{ipBlock: {cidr: 10.5.0.2/32}}]", 1)
		got := matrixText(t, text, query.MatrixQuestion{Target: query.Target{Port: "5432", Protocol: "TCP"}})
		if !strings.Contains(got, "default/api-abc-2  +") || strings.Contains(got, "(3)") {
			t.Error(got)
		}
	})
}

func TestMatrixOfManyPods(t *testing.T) {
	onPort80 := query.MatrixQuestion{Target: query.Target{Port: "80", Protocol: "TCP"}}
	many := func(n int) string {
		text := cluster.TwoNodes
		for i := range n {
			text += strings.ReplaceAll(deployment(fmt.Sprintf("app%d", i), 1, byte(10+i)), "{apiVersion: apps/v1, kind: ReplicaSet, name: app", "{apiVersion: apps/v1, kind: Job, name: app")
		}
		return text
	}
	t.Run("numbered columns", func(t *testing.T) {
		got := matrixText(t, many(20), onPort80)
		if !strings.Contains(got, "\n+ allowed, - denied, . not evaluated (the same pod, no address family in common, or no such port)\n") {
			t.Error(got)
		}
	})
	t.Run("a list", func(t *testing.T) {
		got := matrixText(t, many(60), onPort80)
		if !strings.Contains(got, " default/web          allowed to 1-60\n") || !strings.Contains(got, " default/db           allowed to all\n") {
			t.Error(got)
		}
	})
}

func TestMatrixWithAPortName(t *testing.T) {
	got := matrixText(t, services, query.MatrixQuestion{Target: query.Target{Port: "sql", Protocol: "TCP"}})
	want := `Connections on TCP port "sql" of each destination, from rows to columns:

             shop/client  shop/db-0  shop/db-1
shop/client  .            -          +
shop/db-0    .            .          +
shop/db-1    .            -          .

+ allowed, - denied, . not evaluated (the same pod, no address family in common, or no such port)
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("matrix (-want +got):\n%s", diff)
	}
	_, err := newCluster(t, services).Matrix(&query.MatrixQuestion{Target: query.Target{Port: "http", Protocol: "TCP"}})
	if want := "port http: no pod has a TCP port with this name; there are sql"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}
