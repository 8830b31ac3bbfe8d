// Package sbom describes the components of the programs of a release in the format CycloneDX. It
// reads the modules from the programs themselves, so the list contains exactly the modules that the
// programs link.
package sbom

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

const (
	project = "github.com/sluicenet/sluice"
	license = "Apache-2.0"
	// sumProperty is the name of the property that contains the checksum of a module in the format
	// of go.sum.
	sumProperty = "go:sum"
)

// Package is an npm package whose code is in a program.
type Package struct{ Name, Version, Integrity string }

// Write returns an SBOM with the components of programs. The last element of the path of a program
// is its name in the SBOM. These names must be unique.
func Write(version string, programs []string, packages []Package, at time.Time) ([]byte, error) {
	reference := "pkg:golang/" + project + "@v" + version
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: at.UTC().Format(time.RFC3339),
		Component: &cdx.Component{
			BOMRef: reference, Type: cdx.ComponentTypeApplication, Name: "sluice", Version: version, PackageURL: reference,
			Licenses: &cdx.Licenses{{License: &cdx.License{ID: license}}},
		},
	}
	components := map[string]cdx.Component{}
	var dependencies []cdx.Dependency
	var files []string
	for _, program := range programs {
		file, modules, err := describe(program)
		if err != nil {
			return nil, err
		}
		for i := range modules {
			components[modules[i].BOMRef] = modules[i]
		}
		for _, p := range packages {
			c, err := npm(p)
			if err != nil {
				return nil, err
			}
			components[c.BOMRef] = c
			modules = append(modules, c)
		}
		components[file.BOMRef] = *file
		files = append(files, file.BOMRef)
		dependencies = append(dependencies, cdx.Dependency{Ref: file.BOMRef, Dependencies: references(modules)})
	}
	dependencies = append(dependencies, cdx.Dependency{Ref: reference, Dependencies: &files})
	sorted := []cdx.Component{}
	for _, key := range slices.Sorted(maps.Keys(components)) {
		sorted = append(sorted, components[key])
	}
	bom.Components, bom.Dependencies = &sorted, &dependencies
	bom.SerialNumber = serial(sorted)
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("writing the SBOM: %w", err)
	}
	return out.Bytes(), nil
}

// serial returns a UUID that depends only on the components.
func serial(components []cdx.Component) string {
	hash := sha256.New()
	for i := range components {
		fmt.Fprintln(hash, components[i].BOMRef)
		if components[i].Hashes != nil {
			fmt.Fprintln(hash, *components[i].Hashes)
		}
	}
	id := hash.Sum(nil)[:16]
	id[6] = id[6]&0x0f | 0x80 // UUID version 8, which does not define the other bits.
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func references(components []cdx.Component) *[]string {
	out := make([]string, 0, len(components))
	for i := range components {
		out = append(out, components[i].BOMRef)
	}
	slices.Sort(out)
	return &out
}

// describe returns a program, and the modules that it links.
func describe(program string) (*cdx.Component, []cdx.Component, error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, nil, err
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the modules of %s: %w", program, err)
	}
	sum := sha256.Sum256(content)
	name := filepath.Base(program)
	file := &cdx.Component{
		BOMRef: "file:" + name, Type: cdx.ComponentTypeFile, Name: name,
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
	}
	modules := []cdx.Component{module("std", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, dependency := range info.Deps {
		if dependency.Replace != nil {
			dependency = dependency.Replace
		}
		modules = append(modules, module(dependency.Path, dependency.Version, dependency.Sum))
	}
	return file, modules, nil
}

func module(path, version, sum string) cdx.Component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	out := cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: purl}
	if sum != "" {
		out.Properties = &[]cdx.Property{{Name: sumProperty, Value: sum}}
	}
	return out
}

func npm(p Package) (cdx.Component, error) {
	purl := "pkg:npm/" + p.Name + "@" + p.Version
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(p.Integrity, "sha512-"))
	if err != nil {
		return cdx.Component{}, fmt.Errorf("reading the checksum of %s: %w", p.Name, err)
	}
	return cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: purl,
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA512, Value: hex.EncodeToString(sum)}},
	}, nil
}

// Packages returns packages in a package-lock.json.
func Packages(lock string, names ...string) ([]Package, error) {
	content, err := os.ReadFile(lock)
	if err != nil {
		return nil, err
	}
	var parsed struct {
		Packages map[string]struct{ Version, Integrity string }
	}
	if err := json.Unmarshal(content, &parsed); err != nil {
		return nil, fmt.Errorf("reading %s: %w", lock, err)
	}
	var out []Package
	for _, name := range names {
		p, ok := parsed.Packages["node_modules/"+name]
		if !ok {
			return nil, fmt.Errorf("%s does not contain the package %s", lock, name)
		}
		out = append(out, Package{name, p.Version, p.Integrity})
	}
	return out, nil
}
