package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/operator-framework/operator-registry/alpha/declcfg"
	"github.com/operator-framework/operator-registry/alpha/model"
)

const testImage = "registry.example/sluice-bundle:test"

// TestCatalogOffersThisVersion writes the catalog and reads it again as OLM does.
// It checks the version, the kinds and the images in the catalog.
func TestCatalogOffersThisVersion(t *testing.T) {
	config, err := catalog(t.Context(), directory, testImage)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := declcfg.WriteYAML(*config, &text); err != nil {
		t.Fatal(err)
	}
	read, err := declcfg.LoadReader(&text)
	if err != nil {
		t.Fatal(err)
	}
	packages, err := declcfg.ConvertToModel(*read)
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
	if _, err := catalog(t.Context(), t.TempDir(), testImage); err == nil {
		t.Error("no error for an empty directory")
	}
}
