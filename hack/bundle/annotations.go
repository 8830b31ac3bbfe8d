package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// internalKinds lists the kinds that only agents and the operator write. Web consoles, such as the
// console of OpenShift, do not offer to create objects of these kinds.
var internalKinds = []string{
	"clusterpolicystatuses.policy.sluice.dev",
	"nodeenforcers.policy.sluice.dev",
	"policystatuses.policy.sluice.dev",
}

// annotate adds the annotations of the ClusterServiceVersion that consoles read: the image, an
// example of each kind, the object that a user creates first, and the internal kinds.
func annotate(csv *unstructured.Unstructured, root, image, epoch string) error {
	first, err := read(filepath.Join(root, "config/samples/enforcer.yaml"))
	if err != nil {
		return err
	}
	statuses, err := read(filepath.Join(root, "config/manifests/examples/statuses.yaml"))
	if err != nil {
		return err
	}
	annotations := csv.GetAnnotations()
	annotations["containerImage"] = image
	for name, value := range map[string]any{
		"alm-examples": append(first, statuses...),
		"operatorframework.io/initialization-resource":    first[0],
		"operators.operatorframework.io/internal-objects": internalKinds,
	} {
		text, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			return fmt.Errorf("writing the annotation %s: %w", name, err)
		}
		annotations[name] = string(text)
	}
	if epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
		}
		annotations["createdAt"] = time.Unix(seconds, 0).UTC().Format(time.RFC3339)
	}
	csv.SetAnnotations(annotations)
	return nil
}
