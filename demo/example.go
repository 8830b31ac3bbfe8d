package demo

import (
	"bytes"
	"embed"
	"fmt"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
)

//go:embed example/*.yaml
var exampleFiles embed.FS

// ExampleTitle says what Example is.
const ExampleTitle = "the example of the Kubernetes NetworkPolicy page"

// Example gives the manifests of the example of the Kubernetes NetworkPolicy
// page, of its default policies, and of pods to try them on.
func Example() (*inventory.Set, error) {
	entries, err := exampleFiles.ReadDir("example")
	if err != nil {
		return nil, fmt.Errorf("reading the example: %w", err)
	}
	var stream bytes.Buffer
	for _, e := range entries {
		text, err := exampleFiles.ReadFile("example/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the example: %w", err)
		}
		stream.WriteString("---\n")
		stream.Write(text)
	}
	set, err := manifest.Read([]string{manifest.Stdin}, &stream)
	if err != nil {
		return nil, fmt.Errorf("reading the example: %w", err)
	}
	return set, nil
}
