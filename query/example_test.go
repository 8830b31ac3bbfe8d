package query_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query"
)

// shop contains the manifests of a web server, a database, and a policy that allows connections from the
// web server to the database on TCP port 5432.
const shop = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
status: {phase: Running, podIP: 10.0.1.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
status: {phase: Running, podIP: 10.0.2.1}
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

// readShop returns a Cluster for the objects in shop.
func readShop() (*query.Cluster, error) {
	set, err := manifest.Read([]string{manifest.Stdin}, strings.NewReader(shop))
	if err != nil {
		return nil, err
	}
	return query.NewCluster(set), nil
}

func ExampleCluster_Explain() {
	cluster, err := readShop()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	explanation, err := cluster.Explain(query.ExplainQuestion{
		From: "web", To: "shop/db", Target: query.Target{Port: "80", Protocol: "TCP"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = explanation.WriteText(os.Stdout)
	// Output:
	// Denied: shop/web to shop/db on TCP port 80
	//
	//   Egress from shop/web (10.0.1.1) is allowed: no policy isolates the pod for egress.
	//   Ingress to shop/db (10.0.2.1) is denied: the pod is isolated for ingress, and no rule allows this flow.
	//     Isolated for ingress by shop/db.
	//     This peer is allowed on other ports (TCP 5432): shop/db ingress[0] from pods app=web in namespace shop on TCP 5432
}

func ExampleCluster_Matrix() {
	cluster, err := readShop()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	matrix, err := cluster.Matrix(&query.MatrixQuestion{
		Target: query.Target{Port: "5432", Protocol: "TCP"}, Addresses: []string{"203.0.113.7"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = matrix.WriteText(os.Stdout)
	// Output:
	// Connections on TCP port 5432, from rows to columns:
	//
	//              shop/db  shop/web  203.0.113.7
	// shop/db      .        +         +
	// shop/web     +        .         +
	// 203.0.113.7  -        +         .
	//
	// + allowed, - denied, . not evaluated (the same pod, no address family in common, or no such port)
}

func ExampleCluster_EvaluateLines() {
	cluster, err := readShop()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	flows := strings.NewReader(`{"src":"10.0.1.1","dst":"10.0.2.1","protocol":"TCP","port":5432}`)
	if err := cluster.EvaluateLines(flows, "flows", os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {"verdict":"Allow","egress":{"verdict":"Allow","reason":"NotIsolated","policy":null,"rule":null},"ingress":{"verdict":"Allow","reason":"Rule","policy":"shop/db","rule":0,"isolatedBy":["shop/db"]}}
}
