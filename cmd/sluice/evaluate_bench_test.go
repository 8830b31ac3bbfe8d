package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/evaluation"
)

// BenchmarkEvaluate runs sluice evaluate with 100,000 flows and with manifests of 5,000 pods
// and 1,000 policies. The measured time includes reading the manifests, because users also
// wait until the command has read the manifests.
func BenchmarkEvaluate(b *testing.B) {
	b.Run("pods=5000/policies=1000/flows=100000", func(b *testing.B) {
		realistic := cluster.NewRealistic(1, cluster.Size{Pods: 5000, Policies: 1000})
		dir := b.TempDir()
		writeYAML(b, filepath.Join(dir, "cluster.yaml"), realistic)
		flows := filepath.Join(dir, "flows.jsonl")
		if err := os.WriteFile(flows, []byte(evaluation.Lines(realistic.Flows(1, 100_000, 0.5))), 0o644); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			var stderr strings.Builder
			if code := run([]string{"evaluate", "-f", dir + "/cluster.yaml", "--flows", flows}, nil, io.Discard, &stderr); code != exitDone {
				b.Fatalf("exit %d: %s", code, stderr.String())
			}
		}
	})
}

// writeYAML writes the objects of a cluster to a file as a stream of YAML
// documents.
func writeYAML(b *testing.B, path string, r *cluster.Realistic) {
	b.Helper()
	var text strings.Builder
	add := func(apiVersion, kind string, object any) {
		y, err := yaml.Marshal(object)
		if err != nil {
			b.Fatal(err)
		}
		text.WriteString("---\napiVersion: " + apiVersion + "\nkind: " + kind + "\n")
		text.Write(y)
	}
	for o := range r.Namespaces() {
		add("v1", "Namespace", o)
	}
	for o := range r.Nodes() {
		add("v1", "Node", o)
	}
	for o := range r.Pods() {
		add("v1", "Pod", o)
	}
	for _, o := range r.Policies() {
		add("networking.k8s.io/v1", "NetworkPolicy", o)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
}
