package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/operator-framework/operator-registry/alpha/declcfg"
	"github.com/operator-framework/operator-registry/alpha/model"
)

const testImage = "registry.example/sluice-bundle:test"

// TestCatalogOffersThisVersion writes the catalog and reads it again as OLM does.
// It checks the version, the kinds and the images in the catalog.
func TestCatalogOffersThisVersion(t *testing.T) {
	previous, err := read("../../config/catalog/catalog.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config, err := catalog(t.Context(), directory, testImage, previous)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := declcfg.WriteYAML(*config, &text); err != nil {
		t.Fatal(err)
	}
	written, err := declcfg.LoadReader(&text)
	if err != nil {
		t.Fatal(err)
	}
	packages, err := declcfg.ConvertToModel(*written)
	if err != nil {
		t.Fatal(err)
	}
	if err := packages.Validate(); err != nil {
		t.Fatal(err)
	}
	bundle := head(t, packages)
	version, err := os.ReadFile("../../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(string(version)); bundle.Version.String() != want || bundle.Name != "sluice.v"+want {
		t.Errorf("bundle %s has version %s, want %s", bundle.Name, bundle.Version, want)
	}
	if bundle.Image != testImage {
		t.Errorf("the image is %s, want %s", bundle.Image, testImage)
	}
	kinds := map[string]bool{}
	for _, kind := range bundle.PropertiesP.GVKs {
		kinds[kind.Kind+"."+kind.Version+"."+kind.Group] = true
	}
	for _, kind := range []string{"ClusterPolicyStatus", "Enforcer", "NodeEnforcer", "PolicyStatus"} {
		if !kinds[kind+".v1alpha1.policy.sluice.dev"] {
			t.Errorf("kind %s is not among the provided kinds %v", kind, kinds)
		}
	}
	images := map[string]bool{}
	for _, related := range bundle.RelatedImages {
		images[related.Image] = true
	}
	if operator := "sluice:" + bundle.Version.String(); !images[operator] || !images[testImage] {
		t.Errorf("related images are %v, want %s and %s", images, operator, testImage)
	}
}

// head returns the bundle at the head of the catalog's only channel. The catalog
// must contain a single package.
func head(t *testing.T, packages model.Model) *model.Bundle {
	t.Helper()
	sluice := packages["sluice"]
	if len(packages) != 1 || sluice == nil || sluice.DefaultChannel.Name != "alpha" || len(sluice.Channels) != 1 {
		t.Fatalf("want package sluice with channel alpha, got %v", packages)
	}
	bundle, err := sluice.DefaultChannel.Head()
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

// TestDirectoryWithoutBundleIsRejected checks that the function `catalog` returns an error for an
// empty directory.
func TestDirectoryWithoutBundleIsRejected(t *testing.T) {
	if _, err := catalog(t.Context(), t.TempDir(), testImage, &declcfg.DeclarativeConfig{}); err == nil {
		t.Error("no error for an empty directory")
	}
}

// TestPreviousVersionsStay checks that a catalog keeps the previous versions, and that the new
// version has an upgrade edge from the newest previous version, and from each version with the
// previous minor version.
func TestPreviousVersionsStay(t *testing.T) {
	config := &declcfg.DeclarativeConfig{}
	for _, version := range []string{"0.1.0", "0.1.1", "0.2.0", "0.2.1", "0.4.0", "1.0.0"} {
		next, err := catalog(t.Context(), bundleOf(t, version), testImage, config)
		if err != nil {
			t.Fatal(err)
		}
		config = next
	}
	want := []declcfg.ChannelEntry{
		{Name: "sluice.v0.1.0"},
		{Name: "sluice.v0.1.1", Replaces: "sluice.v0.1.0", SkipRange: ">=0.1.0 <0.1.1"},
		{Name: "sluice.v0.2.0", Replaces: "sluice.v0.1.1", SkipRange: ">=0.1.0 <0.2.0"},
		{Name: "sluice.v0.2.1", Replaces: "sluice.v0.2.0", SkipRange: ">=0.1.0 <0.2.1"},
		{Name: "sluice.v0.4.0", Replaces: "sluice.v0.2.1", SkipRange: ">=0.2.0 <0.4.0"},
		{Name: "sluice.v1.0.0", Replaces: "sluice.v0.4.0", SkipRange: ">=0.4.0 <1.0.0"},
	}
	if len(config.Channels) != 1 || !slices.EqualFunc(config.Channels[0].Entries, want, func(a, b declcfg.ChannelEntry) bool {
		return a.Name == b.Name && a.Replaces == b.Replaces && a.SkipRange == b.SkipRange
	}) {
		t.Errorf("got channels %+v, want entries %+v", config.Channels, want)
	}
	packages, err := declcfg.ConvertToModel(*config)
	if err != nil {
		t.Fatal(err)
	}
	if bundle := head(t, packages); bundle.Name != "sluice.v1.0.0" {
		t.Errorf("the head of the channel is %s", bundle.Name)
	}
	for _, version := range []string{"1.0.0", "0.9.0"} {
		if _, err := catalog(t.Context(), bundleOf(t, version), testImage, config); err == nil {
			t.Errorf("version %s can be added after 1.0.0", version)
		}
	}
}

// bundleOf returns a copy of the bundle in which the version is replaced.
func bundleOf(t *testing.T, version string) string {
	t.Helper()
	out := t.TempDir()
	if err := os.CopyFS(out, os.DirFS(directory)); err != nil {
		t.Fatal(err)
	}
	current, err := os.ReadFile("../../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	file := out + "/manifests/sluice.clusterserviceversion.yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old := strings.TrimSpace(string(current))
	replaced := strings.NewReplacer("name: sluice.v"+old, "name: sluice.v"+version, "\n  version: "+old, "\n  version: "+version).Replace(string(text))
	if err := os.WriteFile(file, []byte(replaced), 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}
