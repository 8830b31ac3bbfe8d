package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/objects"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/process"
)

// start starts an API server for one installation.
func start(t *testing.T) *kube.Server {
	t.Helper()
	server, err := kube.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// installManifest applies install.yaml like `kubectl apply --server-side`.
func installManifest(t *testing.T, r release) {
	server := start(t)
	text := read(t, r.artefacts, "install.yaml")
	apply(t, server, decode(t, text))
	apply(t, server, decode(t, read(t, r.clone, "config/samples/enforcer.yaml")))
	checkOperator(t, r, server, "sluice-system")
}

// installChart installs the chart with Helm.
func installChart(t *testing.T, r release) {
	server := start(t)
	run(t, r.clone, nil, "go", "-C", "hack/helm", "run", "./installer",
		"-chart", filepath.Join(r.artefacts, "sluice-"+r.version+".tgz"), "-kubeconfig", server.Kubeconfig(t), "-namespace", "network")
	checkOperator(t, r, server, "network")
}

// installBundle installs the bundle image. The libraries of OLM unpack the image and compute the
// objects. The test creates the OperatorCondition as OLM does, and the operator must write its
// condition.
func installBundle(t *testing.T, r release) {
	server := start(t)
	c := server.Client(t)
	const namespace = "operators"
	list := run(t, r.clone, []string{"GOFLAGS=-tags=containers_image_openpgp", "CGO_ENABLED=0"}, "go", "-C", "hack/olm", "run", ".",
		"install", "-archive", filepath.Join(r.artefacts, "sluice-bundle_"+r.version+".oci.tar"), "-namespace", namespace)
	var items struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(list), &items); err != nil {
		t.Fatal(err)
	}
	objects := []*unstructured.Unstructured{object("v1", "Namespace", "", namespace)}
	for _, item := range items.Items {
		objects = append(objects, &unstructured.Unstructured{Object: item})
	}
	name := "sluice.v" + r.version
	_, err := envtest.InstallCRDs(server.Config(), envtest.CRDInstallOptions{Paths: []string{"../../controllers/upgradeable/testdata/operatorconditions.yaml"}})
	if err != nil {
		t.Fatal(err)
	}
	condition := object("operators.coreos.com/v2", "OperatorCondition", namespace, name)
	condition.Object["spec"] = map[string]any{"deployments": []any{"sluice-operator"}}
	role, binding := object("rbac.authorization.k8s.io/v1", "Role", namespace, name), object("rbac.authorization.k8s.io/v1", "RoleBinding", namespace, name)
	role.Object["rules"] = []any{map[string]any{
		"apiGroups": []any{"operators.coreos.com"}, "resources": []any{"operatorconditions", "operatorconditions/status"},
		"resourceNames": []any{name}, "verbs": []any{"get", "update", "patch"},
	}}
	binding.Object["roleRef"] = map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
	binding.Object["subjects"] = []any{map[string]any{"kind": "ServiceAccount", "name": "sluice-operator", "namespace": namespace}}
	apply(t, server, append(objects, condition, role, binding))
	checkExamples(t, server, filepath.Join(r.clone, "bundle"))
	apply(t, server, decode(t, read(t, r.clone, "config/samples/enforcer.yaml")))
	checkOperator(t, r, server, namespace)
	eventually.NoError(t, func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(condition), condition); err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(condition.Object, "spec", "conditions")
		if err != nil || len(conditions) != 1 {
			return fmt.Errorf("conditions %v: %w", conditions, err)
		}
		return nil
	})
}

// checkExamples checks that the API server accepts the examples in the bundle.
func checkExamples(t *testing.T, server *kube.Server, bundle string) {
	t.Helper()
	csv := decode(t, read(t, bundle, "manifests/sluice.clusterserviceversion.yaml"))[0]
	var examples []map[string]any
	if err := json.Unmarshal([]byte(csv.GetAnnotations()["alm-examples"]), &examples); err != nil || len(examples) != 4 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	for _, example := range examples {
		o := &unstructured.Unstructured{Object: example}
		if o.GetKind() == "PolicyStatus" {
			o.SetNamespace("default")
		}
		apply(t, server, []*unstructured.Unstructured{o}, client.DryRunAll)
	}
}

func object(version, kind, namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(version)
	o.SetKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

func decode(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	out, err := objects.Decode([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

func apply(t *testing.T, server *kube.Server, objects []*unstructured.Unstructured, options ...client.PatchOption) {
	t.Helper()
	c := server.Client(t)
	for _, o := range objects {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		all := append([]client.PatchOption{client.FieldOwner("kubectl"), client.ForceOwnership, client.FieldValidation("Strict")}, options...)
		if err := c.Patch(t.Context(), o.DeepCopy(), client.RawPatch(types.ApplyPatchType, text), all...); err != nil {
			t.Fatalf("applying %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// checkOperator runs the operator in the same way as the installed Deployment: the program from the
// image, with the rights of the service account. The operator must then create the DaemonSet of the
// Enforcer, and the DaemonSet must use the image of the Deployment.
func checkOperator(t *testing.T, r release, server *kube.Server, namespace string) {
	t.Helper()
	c := server.Client(t)
	var deployment appsv1.Deployment
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "sluice-operator"}, &deployment); err != nil {
		t.Fatal(err)
	}
	template := deployment.Spec.Template
	image := template.Spec.Containers[0].Image
	if !strings.HasPrefix(image, repository+"/sluice@sha256:") {
		t.Errorf("the operator has image %s, want %s by digest", image, repository+"/sluice")
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "sluice-operator-test", Labels: template.Labels}, Spec: template.Spec}
	if err := c.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(server.Config())
	config.BearerToken = server.Token(t, namespace, template.Spec.ServiceAccountName)
	command := exec.Command(programOf(t, r, image), "operator", "--namespace", namespace, "--kubeconfig", kubeconfigOf(t, config),
		"--metrics-address=0", "--observe-address=0", "--health-address=0")
	command.Env = []string{"POD_NAME=" + pod.Name}
	for _, variable := range template.Spec.Containers[0].Env {
		if variable.ValueFrom == nil {
			command.Env = append(command.Env, variable.Name+"="+variable.Value)
		}
	}
	operator := process.MustStart(t, "operator", command, nil)
	eventually.NoError(t, func() error {
		var daemonSet appsv1.DaemonSet
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "sluice"}, &daemonSet); err != nil {
			return fmt.Errorf("%w\n%s", err, operator.Log())
		}
		for _, container := range daemonSet.Spec.Template.Spec.Containers {
			if container.Image != image {
				return fmt.Errorf("container %s has image %s, want %s", container.Name, container.Image, image)
			}
		}
		var enforcer v1alpha1.Enforcer
		if err := c.Get(t.Context(), client.ObjectKey{Name: v1alpha1.EnforcerName}, &enforcer); err != nil {
			return err
		}
		if got := enforcer.Status.OperatorVersion; got != r.version {
			return fmt.Errorf("the status was written by version %q, want %s", got, r.version)
		}
		return nil
	})
}

func kubeconfigOf(t *testing.T, config *rest.Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"here": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"operator": {Token: config.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{"here": {Cluster: "here", AuthInfo: "operator"}},
		CurrentContext: "here",
	}, path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// programOf extracts the program from the image archive of the release. The image must have the
// given digest.
func programOf(t *testing.T, r release, image string) string {
	t.Helper()
	blobs := archived(t, strings.NewReader(read(t, r.artefacts, "sluice_"+r.version+".oci.tar")))
	blob := func(digest string) []byte { return blobs["blobs/"+strings.Replace(digest, ":", "/", 1)] }
	type descriptor struct {
		Digest   string
		Platform struct{ Architecture string }
	}
	var index struct{ Manifests []descriptor }
	_, digest, _ := strings.Cut(image, "@")
	if err := json.Unmarshal(blob(digest), &index); err != nil {
		t.Fatalf("the archive contains no index with digest %s: %v", digest, err)
	}
	for _, platform := range index.Manifests {
		if platform.Platform.Architecture != runtime.GOARCH {
			continue
		}
		var manifest struct{ Layers []descriptor }
		if err := json.Unmarshal(blob(platform.Digest), &manifest); err != nil {
			t.Fatal(err)
		}
		layer, err := gzip.NewReader(bytes.NewReader(blob(manifest.Layers[0].Digest)))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "sluice")
		if err := os.WriteFile(path, archived(t, layer)["sluice"], 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Fatalf("the image does not support %s", runtime.GOARCH)
	return ""
}

// archived returns the files in a tar archive.
func archived(t *testing.T, in io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for archive := tar.NewReader(in); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}
