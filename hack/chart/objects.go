package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/config/objects"
)

// base returns the objects in the files that a kustomize base lists. It ignores other bases.
func base(root, name string) ([]*unstructured.Unstructured, error) {
	directory := filepath.Join(root, "config", name)
	content, err := os.ReadFile(filepath.Join(directory, "kustomization.yaml"))
	if err != nil {
		return nil, err
	}
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	if err := sigsyaml.Unmarshal(content, &kustomization); err != nil {
		return nil, fmt.Errorf("%s: %w", directory, err)
	}
	var out []*unstructured.Unstructured
	for _, resource := range kustomization.Resources {
		if strings.HasPrefix(resource, "../") {
			continue
		}
		path := filepath.Join(directory, resource)
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		decoded, err := objects.Decode(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, decoded...)
	}
	return out, nil
}

// addDefinitions adds the CRDs, with the labels that kustomize adds in config/default. Helm
// applies these files without rendering them.
func addDefinitions(root string, files map[string][]byte) error {
	version, err := projectVersion(root)
	if err != nil {
		return err
	}
	definitions, err := base(root, "crd")
	if err != nil {
		return err
	}
	for _, definition := range definitions {
		definition.SetLabels(map[string]string{"app.kubernetes.io/part-of": "sluice", "app.kubernetes.io/version": version})
		content, err := sigsyaml.Marshal(definition.Object)
		if err != nil {
			return err
		}
		files["crds/"+definition.GetName()+".yaml"] = content
	}
	return nil
}
