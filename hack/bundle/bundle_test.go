package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/objects"
)

const (
	root   = "../.."
	bundle = root + "/bundle"
)

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// objectsOf reads all objects in a YAML file.
func objectsOf(t *testing.T, path string) []*unstructured.Unstructured {
	t.Helper()
	out, err := objects.Decode(readFile(t, path))
	if err != nil || len(out) == 0 {
		t.Fatalf("%s: %d objects, %v", path, len(out), err)
	}
	return out
}

func csv(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	return objectsOf(t, bundle+"/manifests/sluice.clusterserviceversion.yaml")[0]
}

func nested(t *testing.T, in *unstructured.Unstructured, path ...string) any {
	t.Helper()
	value, ok, err := unstructured.NestedFieldNoCopy(in.Object, path...)
	if !ok || err != nil {
		t.Fatalf("%s: %s is missing: %v", in.GetKind(), strings.Join(path, "."), err)
	}
	return value
}

// TestPermissionsMatchRoles checks that the bundle grants the service accounts of the operator
// the same rights as config/rbac.
func TestPermissionsMatchRoles(t *testing.T) {
	kinds := map[string]string{"ClusterRole": "clusterPermissions", "Role": "permissions"}
	want, got := map[string]any{}, map[string]any{}
	for _, file := range []string{"role.yaml", "observer.yaml"} {
		for _, role := range objectsOf(t, root+"/config/rbac/operator/"+file) {
			if permissions, ok := kinds[role.GetKind()]; ok {
				want[permissions+" of "+role.GetName()] = role.Object["rules"]
			}
		}
	}
	for _, permissions := range kinds {
		for _, permission := range nested(t, csv(t), "spec", "install", "spec", permissions).([]any) {
			p := permission.(map[string]any)
			got[permissions+" of "+p["serviceAccountName"].(string)] = p["rules"]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the rights in the bundle differ from config/rbac/operator (-config +bundle):\n%s", diff)
	}
}

// TestDeploymentMatchesManager checks that the operator's deployment in the bundle equals the
// deployment in config/manager.
func TestDeploymentMatchesManager(t *testing.T) {
	deployments := nested(t, csv(t), "spec", "install", "spec", "deployments").([]any)
	if len(deployments) != 1 {
		t.Fatalf("%d deployments, want one", len(deployments))
	}
	image := "sluice:" + strings.TrimSpace(string(readFile(t, root+"/VERSION")))
	text := string(readFile(t, root+"/config/manager/deployment.yaml"))
	text = strings.ReplaceAll(text, "image: sluice\n", "image: "+image+"\n")
	want, err := objects.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[0].Object["spec"], deployments[0].(map[string]any)["spec"]); diff != "" {
		t.Errorf("the deployment in the bundle differs from config/manager (-config +bundle):\n%s", diff)
	}
	if got := csv(t).GetAnnotations()["containerImage"]; got != image {
		t.Errorf("containerImage is %s, want %s", got, image)
	}
}

// paths adds the paths of all fields in a schema to the map `out`. It shares no code with the
// generator under test.
func paths(schema any, path string, out map[string]bool) {
	fields, ok := schema.(map[string]any)
	if !ok {
		return
	}
	if properties, ok := fields["properties"].(map[string]any); ok {
		for name, below := range properties {
			at := strings.TrimPrefix(path+"."+name, ".")
			out[at] = true
			paths(below, at, out)
		}
	}
	paths(fields["items"], path+"[0]", out)
}

// TestAllFieldsHaveDescriptors checks that the descriptors of each kind cover all fields of the
// kind's spec and status, and no other fields.
func TestAllFieldsHaveDescriptors(t *testing.T) {
	kinds := nested(t, csv(t), "spec", "customresourcedefinitions", "owned").([]any)
	names := []string{}
	for _, owned := range kinds {
		kind := owned.(map[string]any)
		names = append(names, kind["name"].(string))
		plural, _, _ := strings.Cut(kind["name"].(string), ".")
		definition := objectsOf(t, root+"/config/crd/bases/policy.sluice.dev_"+plural+".yaml")[0]
		version := nested(t, definition, "spec", "versions").([]any)[0].(map[string]any)
		parts := version["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)["properties"].(map[string]any)
		for part, list := range map[string]string{"spec": "specDescriptors", "status": "statusDescriptors"} {
			want, got := map[string]bool{}, map[string]bool{}
			paths(parts[part], "", want)
			for _, descriptor := range listed(kind[list]) {
				d := descriptor.(map[string]any)
				got[d["path"].(string)] = true
				if d["displayName"] == "" || d["description"] == "" {
					t.Errorf("%s: the descriptor of %s.%s has no text", kind["kind"], part, d["path"])
				}
			}
			if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
				t.Errorf("%s: %s (-schema +descriptors):\n%s", kind["kind"], part, diff)
			}
		}
		if diff := cmp.Diff(definition.Object["spec"], objectsOf(t, bundle+"/manifests/"+kind["name"].(string)+".crd.yaml")[0].Object["spec"]); diff != "" {
			t.Errorf("the definition of %s differs from config/crd:\n%s", kind["kind"], diff)
		}
	}
	want := []string{"clusterpolicystatuses.policy.sluice.dev", "enforcers.policy.sluice.dev", "nodeenforcers.policy.sluice.dev", "policystatuses.policy.sluice.dev"}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(names))); diff != "" {
		t.Errorf("owned kinds:\n%s", diff)
	}
}

// TestExamples checks that the bundle contains exactly one example of each kind, that each example
// can be decoded to the Go type of its kind, and that the examples of the kinds that users create
// specify nothing. Consoles create the example of the Enforcer, so it must be safe in every cluster.
func TestExamples(t *testing.T) {
	types := map[string]any{
		"Enforcer": &v1alpha1.Enforcer{}, "NodeEnforcer": &v1alpha1.NodeEnforcer{},
		"PolicyStatus": &v1alpha1.PolicyStatus{}, "ClusterPolicyStatus": &v1alpha1.ClusterPolicyStatus{},
	}
	var examples []json.RawMessage
	if err := json.Unmarshal([]byte(csv(t).GetAnnotations()["alm-examples"]), &examples); err != nil {
		t.Fatal(err)
	}
	for _, example := range examples {
		var head metav1.TypeMeta
		if err := json.Unmarshal(example, &head); err != nil {
			t.Fatal(err)
		}
		object, ok := types[head.Kind]
		if !ok {
			t.Errorf("a second or unknown example of %s", head.Kind)
			continue
		}
		delete(types, head.Kind)
		if err := sigsyaml.UnmarshalStrict(example, object); err != nil {
			t.Error(err)
		}
		enforcer, ok := object.(*v1alpha1.Enforcer)
		if ok && (enforcer.Name != v1alpha1.EnforcerName || !cmp.Equal(enforcer.Spec, v1alpha1.EnforcerSpec{})) {
			t.Errorf("the example is Enforcer %s with spec %v, want %s with an empty spec", enforcer.Name, enforcer.Spec, v1alpha1.EnforcerName)
		}
	}
	for kind := range types {
		t.Errorf("no example of %s", kind)
	}
}

// TestInternalObjects checks that each kind is either internal, or the kind of the object that a
// user creates first.
func TestInternalObjects(t *testing.T) {
	annotations := csv(t).GetAnnotations()
	var first v1alpha1.Enforcer
	if err := sigsyaml.UnmarshalStrict([]byte(annotations["operatorframework.io/initialization-resource"]), &first); err != nil {
		t.Fatal(err)
	}
	if first.Name != v1alpha1.EnforcerName || first.Kind != "Enforcer" {
		t.Errorf("a user creates %s %s first, want Enforcer %s", first.Kind, first.Name, v1alpha1.EnforcerName)
	}
	got := []string{"enforcers.policy.sluice.dev"}
	var internal []string
	if err := json.Unmarshal([]byte(annotations["operators.operatorframework.io/internal-objects"]), &internal); err != nil {
		t.Fatal(err)
	}
	got = append(got, internal...)
	var want []string
	for _, owned := range nested(t, csv(t), "spec", "customresourcedefinitions", "owned").([]any) {
		want = append(want, owned.(map[string]any)["name"].(string))
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("-owned +internal or created first:\n%s", diff)
	}
}

// TestTimeOfCreation checks that SOURCE_DATE_EPOCH sets the time in a bundle, and that the bundle is
// written to the given directory.
func TestTimeOfCreation(t *testing.T) {
	out := filepath.Join(t.TempDir(), "bundle")
	if err := run(root, out, "registry.example/sluice@sha256:"+strings.Repeat("0", 64), "1700000000"); err != nil {
		t.Fatal(err)
	}
	written := objectsOf(t, out+"/manifests/sluice.clusterserviceversion.yaml")[0]
	if got := written.GetAnnotations()["createdAt"]; got != "2023-11-14T22:13:20Z" {
		t.Errorf("createdAt is %s", got)
	}
}

// TestVersions checks the versions and the install modes in the
// ClusterServiceVersion.
func TestVersions(t *testing.T) {
	version := strings.TrimSpace(string(readFile(t, root+"/VERSION")))
	if !regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`).MatchString(version) {
		t.Errorf("VERSION is %q, want MAJOR.MINOR.PATCH", version)
	}
	for want, got := range map[string]any{
		"sluice.v" + version: csv(t).GetName(), version: nested(t, csv(t), "spec", "version"),
		"1.30.0": nested(t, csv(t), "spec", "minKubeVersion"),
	} {
		if got != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	for _, mode := range nested(t, csv(t), "spec", "installModes").([]any) {
		m := mode.(map[string]any)
		if m["supported"] != (m["type"] == "AllNamespaces") {
			t.Errorf("install mode %v: the kinds are cluster-wide, so only AllNamespaces is supported", m)
		}
	}
}

// TestIconIsSVG checks that the icon is an SVG image.
func TestIconIsSVG(t *testing.T) {
	icon := nested(t, csv(t), "spec", "icon").([]any)[0].(map[string]any)
	picture, err := base64.StdEncoding.DecodeString(icon["base64data"].(string))
	if err != nil {
		t.Fatal(err)
	}
	decoder, first := xml.NewDecoder(bytes.NewReader(picture)), ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && first == "" {
			first = start.Name.Local
		}
	}
	if first != "svg" || icon["mediatype"] != "image/svg+xml" {
		t.Errorf("root element %q with media type %s", first, icon["mediatype"])
	}
}

// TestImageOfBundle checks that the labels of the bundle image equal the annotations of the
// bundle. It also checks that each file that the build copies into the image exists.
func TestImageOfBundle(t *testing.T) {
	var file struct{ Annotations map[string]string }
	if err := sigsyaml.UnmarshalStrict(readFile(t, bundle+"/metadata/annotations.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{}
	for line := range strings.Lines(string(readFile(t, bundle+"/Dockerfile"))) {
		if label, ok := strings.CutPrefix(strings.TrimSpace(line), "LABEL "); ok {
			key, value, _ := strings.Cut(label, "=")
			labels[key] = value
		}
		if copied, ok := strings.CutPrefix(line, "COPY "); ok {
			from, _, _ := strings.Cut(copied, " ")
			if _, err := os.Stat(filepath.Join(bundle, from)); err != nil {
				t.Error(err)
			}
		}
	}
	if diff := cmp.Diff(file.Annotations, labels); diff != "" {
		t.Errorf("-annotations +labels:\n%s", diff)
	}
}

// TestKindsAreInstallable checks that the bundle contains only kinds that OLM can
// install.
func TestKindsAreInstallable(t *testing.T) {
	names, err := filepath.Glob(bundle + "/manifests/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	allowed := []string{"ClusterServiceVersion", "CustomResourceDefinition", "Service", "ClusterRole"}
	for _, name := range names {
		for _, object := range objectsOf(t, name) {
			if !slices.Contains(allowed, object.GetKind()) || object.GetNamespace() != "" {
				t.Errorf("%s: a %s in namespace %q", name, object.GetKind(), object.GetNamespace())
			}
		}
	}
}
