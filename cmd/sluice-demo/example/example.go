// Package example contains the manifests that sluice-demo uses if the user specifies no
// manifests.
package example

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/cmd/sluice-demo/tiers"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
)

//go:embed *.yaml
var files embed.FS

// Example is a set of manifests.
type Example struct {
	// Name identifies the example on the command line.
	Name string
	// Title is the title of the example in the output of sluice-demo.
	Title string
	files embed.FS
}

// NetworkPolicies contains the example policy and the default policies from the NetworkPolicy page
// of the Kubernetes documentation, and pods to which these policies apply.
var NetworkPolicies = Example{Name: "network-policies", Title: "the example of the Kubernetes NetworkPolicy page", files: files}

// Tiers contains NetworkPolicies, and ClusterNetworkPolicies of the Admin tier and the Baseline
// tier.
var Tiers = Example{Name: "tiers", Title: "ClusterNetworkPolicies in two tiers, and NetworkPolicies", files: tiers.Files}

var all = []Example{NetworkPolicies, Tiers}

// Find returns the example with the given name.
func Find(name string) (Example, error) {
	if i := slices.IndexFunc(all, func(e Example) bool { return e.Name == name }); i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name)
	}
	return Example{}, fmt.Errorf("there is no example %q: want %s", name, strings.Join(names, " or "))
}

// Read returns the objects of the example.
func (e Example) Read() (*inventory.Set, error) {
	entries, err := e.files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("reading the example: %w", err)
	}
	var stream bytes.Buffer
	for _, entry := range entries {
		text, err := e.files.ReadFile(entry.Name())
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
