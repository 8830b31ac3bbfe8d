// Package example contains the manifests that sluice-demo uses if the user specifies no
// manifests. These are the example policy and the default policies from the NetworkPolicy
// page of the Kubernetes documentation, and pods to which these policies apply.
package example

import (
	"bytes"
	"embed"
	"fmt"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
)

//go:embed *.yaml
var files embed.FS

// Title is the title of the example in the output of sluice-demo.
const Title = "the example of the Kubernetes NetworkPolicy page"

// Read returns the objects of the example.
func Read() (*inventory.Set, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("reading the example: %w", err)
	}
	var stream bytes.Buffer
	for _, e := range entries {
		text, err := files.ReadFile(e.Name())
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
