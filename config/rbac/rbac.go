// Package rbac has what the processes of Sluice may do at the API server, and
// the tests that prove what they may not.
//
// The roles are generated from the markers that stand where the code makes the
// calls. The dataplane has no role: it has no credentials.
package rbac

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

//go:generate go tool -modfile=../../hack/tools/go.mod controller-gen rbac:roleName=sluice-agent paths=../../controllers/node/... output:rbac:artifacts:config=agent
//go:generate go tool -modfile=../../hack/tools/go.mod controller-gen rbac:roleName=sluice-operator paths=../../controllers/operator/... paths=../../controllers/enforcer/... paths=../../controllers/policystatus/... output:rbac:artifacts:config=operator

//go:embed agent/*.yaml operator/*.yaml
var manifests embed.FS

// Namespace is where the manifests put what is namespaced.
const Namespace = "sluice-system"

// Agent gives what agents need at the API server, for a namespace: their
// account, their role, its binding, and the admission policy that keeps each to
// its own node.
func Agent(namespace string) ([]*unstructured.Unstructured, error) {
	return objects("agent", namespace)
}

// Operator gives what the operator needs at the API server, for a namespace.
func Operator(namespace string) ([]*unstructured.Unstructured, error) {
	return objects("operator", namespace)
}

// objects reads the manifests of a folder, in the order of their files' names.
func objects(folder, namespace string) ([]*unstructured.Unstructured, error) {
	names, err := fs.Glob(manifests, folder+"/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing roles: %w", err)
	}
	var out []*unstructured.Unstructured
	for _, name := range names {
		content, err := manifests.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading roles: %w", err)
		}
		// The admission policy has the namespace within an expression.
		content = []byte(strings.ReplaceAll(string(content), Namespace, namespace))
		documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), len(content)+1)
		for {
			object := &unstructured.Unstructured{}
			if err := documents.Decode(&object.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("reading roles: %s: %w", name, err)
			}
			if object.Object != nil {
				out = append(out, object)
			}
		}
	}
	return out, nil
}
