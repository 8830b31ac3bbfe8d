// Package rbac contains the roles of the Sluice processes. Its tests check which rights each
// process has and which rights it lacks.
//
// The roles are generated from markers in the code that makes the requests. The dataplane has
// no role because it has no credentials.
package rbac

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluicenet/sluice/config/objects"
)

//go:generate go tool -modfile=../../hack/tools/go.mod controller-gen rbac:roleName=sluice-agent paths=../../controllers/node/... paths=../../controllers/access/... output:rbac:artifacts:config=agent
//go:generate go tool -modfile=../../hack/tools/go.mod controller-gen rbac:roleName=sluice-operator paths=../../controllers/operator/... paths=../../controllers/observe/... paths=../../controllers/access/... paths=../../controllers/enforcer/... paths=../../controllers/policystatus/... paths=../../controllers/liveness/... output:rbac:artifacts:config=operator

//go:embed agent/*.yaml operator/*.yaml installation/*.yaml
var manifests embed.FS

// Namespace is the namespace of the namespaced objects in the manifests.
const Namespace = "sluice-system"

// Agent returns the objects that grant rights to the agents in a namespace: the service
// account, the role, the binding, and the admission policy that restricts each agent to its own
// node.
func Agent(namespace string) ([]*unstructured.Unstructured, error) {
	return read("agent", namespace)
}

// Operator returns the objects that grant rights to the operator in a namespace.
func Operator(namespace string) ([]*unstructured.Unstructured, error) {
	return read("operator", namespace)
}

// Installation returns the objects that prevent the deletion of the operator's namespace and of
// the definitions of Sluice's kinds while an Enforcer exists.
func Installation(namespace string) ([]*unstructured.Unstructured, error) {
	return read("installation", namespace)
}

// read reads the manifests in a directory, sorted by file name.
func read(directory, namespace string) ([]*unstructured.Unstructured, error) {
	names, err := fs.Glob(manifests, directory+"/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing roles: %w", err)
	}
	var out []*unstructured.Unstructured
	for _, name := range names {
		content, err := manifests.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading roles: %w", err)
		}
		// The admission policies contain the namespace even in expressions and rules, so replace it
		// in the text.
		content = []byte(strings.ReplaceAll(string(content), Namespace, namespace))
		decoded, err := objects.Decode(content)
		if err != nil {
			return nil, fmt.Errorf("reading roles: %s: %w", name, err)
		}
		out = append(out, decoded...)
	}
	return out, nil
}
