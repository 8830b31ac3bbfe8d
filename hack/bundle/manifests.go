package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const packageName = "sluice"

// manifests returns the files of bundle/manifests: the ClusterServiceVersion, the
// CRDs, and the objects that OLM installs unchanged.
func manifests(csv *unstructured.Unstructured, version, image string, installed []*unstructured.Unstructured) (map[string][]byte, error) {
	csv.SetName(packageName + ".v" + version)
	csv.SetLabels(map[string]string{
		"app.kubernetes.io/name": packageName,
		// These labels list the architectures and operating systems on which the pods can run.
		"operatorframework.io/arch.amd64": "supported", "operatorframework.io/arch.arm64": "supported",
		"operatorframework.io/os.linux": "supported",
	})
	spec := csv.Object["spec"].(map[string]any)
	spec["version"] = version
	spec["relatedImages"] = []any{map[string]any{"name": packageName, "image": image}}
	annotations := csv.GetAnnotations()

	files := map[string][]byte{}
	strategy, owned := map[string]any{}, []any{}
	for _, object := range installed {
		switch object.GetKind() {
		case "CustomResourceDefinition":
			kind, err := ownedKind(object)
			if err != nil {
				return nil, err
			}
			owned = append(owned, kind)
			if err := put(files, object, object.GetName()+".crd.yaml"); err != nil {
				return nil, err
			}
		case "Deployment":
			strategy["deployments"] = append(listed(strategy["deployments"]), map[string]any{
				"name": object.GetName(), "label": object.Object["metadata"].(map[string]any)["labels"], "spec": object.Object["spec"],
			})
		case "Namespace":
			// OLM creates the namespace from the template in these annotations.
			annotations["operatorframework.io/suggested-namespace"] = object.GetName()
			text, err := json.Marshal(object)
			if err != nil {
				return nil, err
			}
			annotations["operatorframework.io/suggested-namespace-template"] = string(text)
		case "Role":
			strategy["permissions"] = append(listed(strategy["permissions"]), permission(object))
		case "ClusterRole":
			if isBound(object, installed) {
				strategy["clusterPermissions"] = append(listed(strategy["clusterPermissions"]), permission(object))
			} else if err := put(files, object, name(object)); err != nil {
				return nil, err
			}
		case "ServiceAccount", "ClusterRoleBinding", "RoleBinding":
			// Omit these objects, because OLM creates them from the permissions in the
			// ClusterServiceVersion.
		default:
			object.SetNamespace("")
			if err := put(files, object, name(object)); err != nil {
				return nil, err
			}
		}
	}
	csv.SetAnnotations(annotations)
	spec["install"] = map[string]any{"strategy": "deployment", "spec": strategy}
	spec["customresourcedefinitions"] = map[string]any{"owned": owned}
	return files, put(files, csv, packageName+".clusterserviceversion.yaml")
}

// base reads the icon and the handwritten part of the ClusterServiceVersion.
func base(root string) (*unstructured.Unstructured, error) {
	directory := filepath.Join(root, "config/manifests")
	objects, err := read(filepath.Join(directory, "clusterserviceversion.yaml"))
	if err != nil {
		return nil, err
	}
	if len(objects) != 1 {
		return nil, fmt.Errorf("%s has %d objects, want one ClusterServiceVersion", directory, len(objects))
	}
	icon, err := os.ReadFile(filepath.Join(directory, "icon.svg"))
	if err != nil {
		return nil, err
	}
	objects[0].Object["spec"].(map[string]any)["icon"] = []any{
		map[string]any{"base64data": base64.StdEncoding.EncodeToString(icon), "mediatype": "image/svg+xml"},
	}
	return objects[0], nil
}

// isBound reports whether a ClusterRoleBinding binds the role. config/default contains only one
// such binding, which binds a role to the operator's service account.
func isBound(role *unstructured.Unstructured, installed []*unstructured.Unstructured) bool {
	return slices.ContainsFunc(installed, func(o *unstructured.Unstructured) bool {
		name, _, _ := unstructured.NestedString(o.Object, "roleRef", "name")
		return o.GetKind() == "ClusterRoleBinding" && name == role.GetName()
	})
}

// permission returns a role's rules as a permission of the service account with the
// same name.
func permission(role *unstructured.Unstructured) map[string]any {
	return map[string]any{"serviceAccountName": role.GetName(), "rules": role.Object["rules"]}
}

func put(files map[string][]byte, object *unstructured.Unstructured, name string) error {
	text, err := encode(object.Object)
	if err != nil {
		return err
	}
	files["manifests/"+name] = text
	return nil
}

// name returns the file name of an object that OLM installs unchanged.
func name(object *unstructured.Unstructured) string {
	return object.GetName() + "." + strings.ToLower(object.GetKind()) + ".yaml"
}

func listed(in any) []any {
	out, _ := in.([]any)
	return out
}
