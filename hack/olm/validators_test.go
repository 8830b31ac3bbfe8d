package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
	"github.com/operator-framework/api/pkg/validation/errors"
)

const directory = "../../bundle"

// kubernetes is the Kubernetes version for which the validators check the APIs in the bundle.
const kubernetes = "1.37"

// validators contains the validators of operator-framework/api for bundles. It omits the
// validator that checks architectures, because this validator needs docker to pull the image
// of the operator.
var validators = append(slices.Clone(validation.DefaultBundleValidators),
	validation.OperatorHubV2Validator,
	validation.StandardCapabilitiesValidator,
	validation.StandardCategoriesValidator,
	validation.CommunityOperatorValidator,
	validation.ObjectValidator,
	validation.GoodPracticesValidator,
	validation.AlphaDeprecatedAPIsValidator,
)

// expected maps each warning that is accepted to the reason for accepting it.
var expected = map[string]string{
	"NodeEnforcer: provided API should have an example annotation":        "agents write it, users do not",
	"ClusterPolicyStatus: provided API should have an example annotation": "the operator writes it, users do not",
	"PolicyStatus: provided API should have an example annotation":        "the operator writes it, users do not",
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

func validate(bundle *manifests.Bundle) []errors.ManifestResult {
	objects := append(bundle.ObjectsToValidate(), map[string]string{"k8s-version": kubernetes})
	return validators.Validate(objects...)
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
