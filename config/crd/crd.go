// Package crd contains the CustomResourceDefinitions of Sluice's kinds.
package crd

import (
	"embed"
	"fmt"
	"io/fs"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

//go:embed bases/*.yaml
var manifests embed.FS

// Definitions returns the CustomResourceDefinitions, sorted by name.
func Definitions() ([]*unstructured.Unstructured, error) {
	names, err := fs.Glob(manifests, "bases/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing definitions: %w", err)
	}
	var out []*unstructured.Unstructured
	for _, name := range names {
		content, err := manifests.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading definitions: %w", err)
		}
		definition := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(content, &definition.Object); err != nil {
			return nil, fmt.Errorf("reading definitions: %s: %w", name, err)
		}
		out = append(out, definition)
	}
	return out, nil
}
