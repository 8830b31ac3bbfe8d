// Package helmhook implements the hooks of the Helm chart. Helm runs each hook as a Job.
package helmhook

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/config/crd"
)

// fieldOwner is the field manager of the CustomResourceDefinitions. It is the name that Helm uses.
// If the hook used another name, Helm would report a conflict when it installs the chart again.
const fieldOwner = "helm"

// UpdateDefinitions applies the CustomResourceDefinitions in this program, with a label that
// contains the given version. Helm 3 creates missing CustomResourceDefinitions during an
// installation, but does not update existing ones. No version of Helm changes them during an
// upgrade.
func UpdateDefinitions(ctx context.Context, c client.Client, version string, log logr.Logger) error {
	definitions, err := crd.Definitions()
	if err != nil {
		return err
	}
	for _, definition := range definitions {
		definition.SetLabels(map[string]string{"app.kubernetes.io/part-of": "sluice", "app.kubernetes.io/version": version})
		apply := client.ApplyConfigurationFromUnstructured(definition)
		if err := c.Apply(ctx, apply, client.FieldOwner(fieldOwner), client.ForceOwnership); err != nil {
			return fmt.Errorf("updating CustomResourceDefinition %s: %w", definition.GetName(), err)
		}
		log.Info("Updated the CustomResourceDefinition", "name", definition.GetName())
	}
	return nil
}
