// Package krew describes the kubectl plugin for Krew, the package manager of kubectl plugins.
package krew

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Archive is an archive with the plugin for a platform.
type Archive struct {
	// System and Architecture are the platform, with the names that Go uses.
	System, Architecture string
	// Name is the name of the archive, and SHA256 its checksum in hexadecimal digits.
	Name, SHA256 string
	// Program is the name of the program in the archive.
	Program string
}

// The types below contain the fields of a Plugin that Sluice needs.
type (
	plugin struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Metadata   metadata `json:"metadata"`
		Spec       spec     `json:"spec"`
	}
	metadata struct {
		Name string `json:"name"`
	}
	spec struct {
		Version          string     `json:"version"`
		Homepage         string     `json:"homepage"`
		ShortDescription string     `json:"shortDescription"`
		Description      string     `json:"description"`
		Platforms        []platform `json:"platforms"`
	}
	platform struct {
		Selector selector `json:"selector"`
		URI      string   `json:"uri"`
		SHA256   string   `json:"sha256"`
		Bin      string   `json:"bin"`
	}
	selector struct {
		MatchLabels matchLabels `json:"matchLabels"`
	}
	matchLabels struct {
		OS   string `json:"os"`
		Arch string `json:"arch"`
	}
)

const description = `Explains whether the NetworkPolicies of a cluster allow a flow, and which rule
decides. Shows which workloads can reach each other, finds mistakes in policies,
and shows what a change of a policy would allow or deny. On a cluster with
Sluice, it also shows the flows that the nodes evaluate, and whether the
policies are enforced.
`

// Write returns the manifest of the plugin. Users download the archives from the URL `downloads`.
func Write(version, downloads string, archives []Archive) ([]byte, error) {
	p := plugin{
		APIVersion: "krew.googlecontainertools.github.com/v1alpha2",
		Kind:       "Plugin",
		Metadata:   metadata{Name: "sluice"},
		Spec: spec{
			Version:          "v" + version,
			Homepage:         "https://github.com/sluicenet/sluice",
			ShortDescription: "Explain and check NetworkPolicies",
			Description:      description,
		},
	}
	for _, a := range archives {
		p.Spec.Platforms = append(p.Spec.Platforms, platform{
			Selector: selector{matchLabels{a.System, a.Architecture}}, URI: downloads + "/" + a.Name, SHA256: a.SHA256, Bin: a.Program,
		})
	}
	return yaml.Marshal(p)
}

// Read returns the archives in a manifest. It returns an error if the manifest is for another version,
// if it lists two archives for a platform, or if the URLs of the archives are not in one directory of
// this version.
func Read(manifest []byte, version string) ([]Archive, error) {
	var p plugin
	if err := yaml.UnmarshalStrict(manifest, &p); err != nil {
		return nil, fmt.Errorf("reading the manifest for Krew: %w", err)
	}
	if got := strings.TrimPrefix(p.Spec.Version, "v"); got != version {
		return nil, fmt.Errorf("the manifest for Krew is for version %s, want %s", got, version)
	}
	if len(p.Spec.Platforms) == 0 {
		return nil, errors.New("the manifest for Krew lists no archives")
	}
	archives := make([]Archive, 0, len(p.Spec.Platforms))
	for _, f := range p.Spec.Platforms {
		labels := f.Selector.MatchLabels
		if slices.ContainsFunc(archives, func(a Archive) bool { return a.System == labels.OS && a.Architecture == labels.Arch }) {
			return nil, fmt.Errorf("the manifest for Krew lists two archives for %s/%s", labels.OS, labels.Arch)
		}
		archives = append(archives, Archive{labels.OS, labels.Arch, path.Base(f.URI), f.SHA256, f.Bin})
	}
	if err := checkURLs(p.Spec.Platforms, version); err != nil {
		return nil, err
	}
	return archives, nil
}

// checkURLs checks that the URLs of all archives are in the same directory, and that its name is the
// version.
func checkURLs(platforms []platform, version string) error {
	first := directory(platforms[0].URI)
	for _, f := range platforms {
		if other := directory(f.URI); other != first {
			return fmt.Errorf("the manifest for Krew lists archives in two directories, %s and %s", first, other)
		}
	}
	if !strings.HasSuffix(first, "/v"+version) {
		return fmt.Errorf("the manifest for Krew lists archives in the directory %q, which is not for version %s", first, version)
	}
	return nil
}

// directory returns a URL without its last element.
func directory(url string) string { return url[:max(0, strings.LastIndexByte(url, '/'))] }
