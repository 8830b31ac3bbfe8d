package reach_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/reach"
	"github.com/sluicenet/sluice/test/cluster"
)

const shop = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop},
 spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: a, ports: [{name: http, containerPort: 8080}]}]}}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: shop},
 spec: {template: {metadata: {labels: {app: db}}, spec: {containers: [{name: a}]}}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: debug, namespace: shop, labels: {app: debug}}, spec: {containers: [{name: a}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {selector: {app: db}, ports: [{port: 80, targetPort: 9187}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
`

func read(t *testing.T, text string) (*inventory.Set, *query.Cluster) {
	t.Helper()
	set, err := manifest.Read([]string{"-"}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	set.AddTemplates()
	set.AssignAddresses()
	c := query.NewCluster(set)
	t.Cleanup(func() { _ = c.Close() })
	return set, c
}

func TestMap(t *testing.T) {
	m, err := reach.NewMap(read(t, shop))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, w := range m.Workloads {
		line := w.Ref + " " + m.Verdicts[i]
		for _, p := range w.Ports {
			line += fmt.Sprintf(" %s %d", p.Protocol, p.Number)
		}
		if w.Assumed {
			line += " assumed"
		}
		got = append(got, line)
	}
	want := []string{
		"shop/statefulset/db .oo TCP 5432 TCP 9187",
		"shop/debug d.o TCP 80 assumed",
		"shop/deployment/web po. TCP 8080",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPeers(t *testing.T) {
	set, c := read(t, shop)
	p, err := reach.NewPeers(set, c, "shop/statefulset/db")
	if err != nil {
		t.Fatal(err)
	}
	want := []reach.Peer{
		{Ref: "shop/debug", Verdict: "d", Denied: []string{"TCP 5432", "TCP 9187"}},
		{Ref: "shop/deployment/web", Verdict: "p", Allowed: []string{"TCP 5432"}, Denied: []string{"TCP 9187"}},
	}
	if diff := cmp.Diff(want, p.From); diff != "" {
		t.Error(diff)
	}
	if len(p.To) != 2 || p.To[0].Verdict != string(reach.Open) {
		t.Errorf("to = %+v", p.To)
	}
	if _, err := reach.NewPeers(set, c, "shop/none"); err == nil || !strings.Contains(err.Error(), "no workload of that name") {
		t.Errorf("error = %v", err)
	}
}

// TestMapAgreesWithMatrix compares the map of a realistic cluster with the matrix of each port.
func TestMapAgreesWithMatrix(t *testing.T) {
	set, c := read(t, realistic(t, cluster.Size{Pods: 500, Policies: 200, Nodes: 6}))
	start := time.Now()
	m, err := reach.NewMap(set, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d workloads took %v", len(m.Workloads), time.Since(start))
	for i := 0; i < len(m.Workloads); i += 17 {
		for j := 0; j < len(m.Workloads); j += 13 {
			from, to := &m.Workloads[i], &m.Workloads[j]
			if i == j {
				continue
			}
			if want := explained(t, c, from, to); !slices.Contains(want, m.Verdicts[i][j]) {
				t.Fatalf("%s to %s: %c, want one of %q", from.Ref, to.Ref, m.Verdicts[i][j], want)
			}
		}
	}
}

// realistic returns the manifests of a realistic cluster.
func realistic(t *testing.T, size cluster.Size) string {
	t.Helper()
	objects := cluster.NewRealistic(3, size).Objects()
	var out strings.Builder
	if err := objects.WriteManifests(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// explained returns the verdicts that agree with the explanations of the flows on all ports.
func explained(t *testing.T, c *query.Cluster, from, to *reach.Workload) []byte {
	t.Helper()
	allowed := 0
	for _, p := range to.Ports {
		e, err := c.Explain(query.ExplainQuestion{From: from.Pods[0], To: to.Pods[0], Target: query.Target{Port: strconv.Itoa(int(p.Number)), Protocol: p.Protocol}})
		if err != nil {
			t.Fatal(err)
		}
		if e.Verdict == "Allow" {
			allowed++
		}
	}
	switch allowed {
	case len(to.Ports):
		return []byte{reach.Allowed, reach.Open}
	case 0:
		return []byte{reach.Denied}
	default:
		return []byte{reach.Partly}
	}
}
