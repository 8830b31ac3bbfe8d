package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/operator-framework/api/pkg/manifests"
)

const directory = "../../bundle"

// expected maps each warning that is accepted to the reason for accepting it.
var expected = map[string]string{
	"removed in v1.25. More info: https://kubernetes.io/docs/reference/using-api/deprecation-guide/#v1-25. Migrate the API(s) for events": "rules " +
		"name a group and no version, so the validator cannot see that it is events.k8s.io/v1",
}

// TestValidatorsFindNothing checks that the validators report no errors and only
// expected warnings.
func TestValidatorsFindNothing(t *testing.T) {
	bundle, err := manifests.GetBundleFromDir(filepath.Join(directory, "manifests"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, result := range validate(bundle) {
		for _, fault := range result.Errors {
			t.Errorf("%s: %v", result.Name, fault)
		}
		for _, warning := range result.Warnings {
			text := known(warning.Error())
			if text == "" {
				t.Errorf("%s: %v", result.Name, warning)
			}
			seen[text] = true
		}
	}
	for text := range expected {
		if !seen[text] {
			t.Errorf("no validator has this warning, so remove it from the expected warnings: %s", text)
		}
	}
}

// known returns the key of `expected` that the text contains, or "" if there is none.
func known(text string) string {
	for part := range expected {
		if strings.Contains(text, part) {
			return part
		}
	}
	return ""
}

// TestValidatorsFindFaults checks that the validators report the faults of an
// invalid bundle.
func TestValidatorsFindFaults(t *testing.T) {
	for name, spoil := range map[string]func(*manifests.Bundle){
		"no icon":                 func(b *manifests.Bundle) { b.CSV.Spec.Icon = nil },
		"another minimum version": func(b *manifests.Bundle) { b.CSV.Spec.MinKubeVersion = "newest" },
		"a kind without a CRD":    func(b *manifests.Bundle) { b.V1CRDs = b.V1CRDs[1:] },
	} {
		bundle, err := manifests.GetBundleFromDir(filepath.Join(directory, "manifests"))
		if err != nil {
			t.Fatal(err)
		}
		spoil(bundle)
		wrong := 0
		for _, result := range validate(bundle) {
			wrong += len(result.Errors)
			for _, warning := range result.Warnings {
				if known(warning.Error()) == "" {
					wrong++
				}
			}
		}
		if wrong == 0 {
			t.Errorf("%s: no validator finds the fault", name)
		}
	}
}
