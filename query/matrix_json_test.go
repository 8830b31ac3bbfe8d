package query_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/evaluation"
)

func TestMatrixInJSON(t *testing.T) {
	m, err := newCluster(t, cluster.TwoNodes+deployment("api", 3, 5)).Matrix(&query.MatrixQuestion{
		Target: query.Target{Port: "80", Protocol: "TCP"}, Addresses: []string{"203.0.113.7"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "apiVersion": "query.sluice.dev/v1alpha1",
 "kind": "Matrix",
 "protocol": "TCP",
 "port": 80,
 "symbols": {
  "+": "Allow",
  "-": "Deny",
  ".": "not evaluated",
  "4": "only IPv4 is allowed",
  "6": "only IPv6 is allowed"
 },
 "classes": [
  {
   "pods": [
    "default/api-abc-1",
    "default/api-abc-2",
    "default/api-abc-3",
    "default/web"
   ],
   "addresses": [
    "203.0.113.7"
   ],
   "to": "+-"
  },
  {
   "pods": [
    "default/db"
   ],
   "to": "+."
  }
 ]
}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("matrix (-want +got):\n%s", diff)
	}
}

// TestMatrixOfAThousandPods checks that the JSON form of a matrix of 1,000 pods is below 2 MB, and
// that it contains the verdict for each pair of pods.
func TestMatrixOfAThousandPods(t *testing.T) {
	const pods, limit = 1000, 2_000_000
	objects := cluster.NewRealistic(1, cluster.Size{Pods: pods, Policies: 200, DualStack: true}).Objects()
	c := newCluster(t, evaluation.Manifest(t, &objects))
	m, err := c.Matrix(&query.MatrixQuestion{Target: query.Target{Port: "8080", Protocol: "TCP"}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d classes, %d bytes", len(m.Classes), len(text))
	if len(text) >= limit {
		t.Errorf("%d bytes, want less than %d", len(text), limit)
	}
	checkClasses(t, c, m, pods)
}

// checkClasses compares the classes of a matrix with explanations of single flows. It compares
// one pod of each class with one pod of each other class.
func checkClasses(t *testing.T, c *query.Cluster, m *query.Matrix, pods int) {
	t.Helper()
	count := 0
	for i, class := range m.Classes {
		count += len(class.Pods)
		if len(class.To) != len(m.Classes) {
			t.Fatalf("class %d has %d symbols for %d classes", i, len(class.To), len(m.Classes))
		}
		j := (i*7 + 3) % len(m.Classes)
		from, to := class.Pods[0], m.Classes[j].Pods[len(m.Classes[j].Pods)-1]
		if from == to {
			continue
		}
		e, err := c.Explain(query.ExplainQuestion{From: from, To: to, Target: query.Target{Port: "8080", Protocol: "TCP"}})
		if err != nil {
			t.Fatal(err)
		}
		if symbol := class.To[j : j+1]; m.Symbols[symbol] != e.Verdict && !(e.Verdict == query.Mixed && (symbol == "4" || symbol == "6")) {
			t.Errorf("%s to %s: %s in the matrix, %s", from, to, m.Symbols[symbol], e.Verdict)
		}
	}
	if count != pods {
		t.Errorf("%d pods in the matrix, want %d", count, pods)
	}
}
