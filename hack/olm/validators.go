package main

import (
	"slices"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
	"github.com/operator-framework/api/pkg/validation/errors"
)

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

func validate(bundle *manifests.Bundle) []errors.ManifestResult {
	objects := append(bundle.ObjectsToValidate(), map[string]string{"k8s-version": kubernetes})
	return validators.Validate(objects...)
}
