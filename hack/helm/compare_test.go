package helm

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// added contains the labels that only Helm's objects have.
var added = []string{"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart"}

// byName returns the objects by kind, namespace and name. It removes the fields in which the
// objects of Helm and kustomize are meant to differ.
func byName(objects []*unstructured.Unstructured, versioned bool) map[string]any {
	out := map[string]any{}
	for _, object := range objects {
		object = object.DeepCopy()
		labels := object.GetLabels()
		for _, key := range added {
			delete(labels, key)
		}
		// Only config/default sets the label with the version. Objects that another base adds do
		// not have this label.
		if !versioned {
			delete(labels, "app.kubernetes.io/version")
		}
		object.SetLabels(labels)
		out[object.GetKind()+" "+object.GetNamespace()+"/"+object.GetName()] = object.Object
	}
	return out
}

// TestSameObjectsAsKustomize compares the objects of the chart with the objects of the bases in
// config/, field by field. These differences are allowed: the chart does not contain the Namespace,
// which Helm creates. Only the chart contains the Enforcer. Only the chart sets the arguments for
// the log, with the default values.
func TestSameObjectsAsKustomize(t *testing.T) {
	for base, values := range map[string]string{
		"default":   "{}",
		"openshift": "openshift: {enabled: true}",
		"gke":       "gke: {enabled: true}",
		// The base contains only the objects for Prometheus and Grafana.
		"prometheus": "monitoring: {serviceMonitor: true, alerts: true, dashboard: true}",
	} {
		t.Run(base, func(t *testing.T) {
			versioned := base == "default"
			want, got := byName(kustomize(t, base), versioned), byName(rendered(t, values), versioned)
			if base == "prometheus" {
				maps.Copy(want, byName(kustomize(t, "default"), versioned))
			}
			delete(want, "Namespace /sluice-system")
			enforcer := got["Enforcer /default"].(map[string]any)
			delete(got, "Enforcer /default")
			wantSpec := map[string]any{}
			if base == "openshift" {
				wantSpec["seLinuxType"] = "spc_t"
			}
			if diff := cmp.Diff(wantSpec, enforcer["spec"]); diff != "" {
				t.Errorf("spec of the Enforcer (-want +got):\n%s", diff)
			}
			removeLogArguments(t, got)
			if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
				t.Fatalf("objects (-config/%s +chart):\n%s", base, diff)
			}
			for name := range want {
				if diff := cmp.Diff(want[name], got[name]); diff != "" {
					t.Errorf("%s (-config/%s +chart):\n%s", name, base, diff)
				}
			}
		})
	}
}

// removeLogArguments removes the arguments of the operator that config/manager does not contain. Their
// values must be the defaults.
func removeLogArguments(t *testing.T, objects map[string]any) {
	t.Helper()
	deployment := objects["Deployment sluice-system/sluice-operator"].(map[string]any)
	containers, _, err := unstructured.NestedSlice(deployment, "spec", "template", "spec", "containers")
	if err != nil {
		t.Fatal(err)
	}
	container := containers[0].(map[string]any)
	args := container["args"].([]any)
	if tail := args[len(args)-2:]; !slices.Equal(tail, []any{"--log-level=info", "--log-format=json"}) {
		t.Errorf("the last arguments are %v, want the defaults of the log", tail)
	}
	container["args"] = args[:len(args)-2]
	if err := unstructured.SetNestedSlice(deployment, containers, "spec", "template", "spec", "containers"); err != nil {
		t.Fatal(err)
	}
}

// TestAllValuesHaveAnEffect checks that each value of the values file `all` appears in an object.
func TestAllValuesHaveAnEffect(t *testing.T) {
	objects := rendered(t, files(t)["all"])
	for place, want := range map[string]string{
		"Deployment sluice-operator": `image: registry.example:5000/net/sluice@sha256:0123456789012345678901234567890123456789012345678901234567890123
imagePullPolicy: Always
- name: registry
value: api.example.com
value: "8443"
team: network
app.kubernetes.io/name: sluice
example.com/contact: network@example.com
replicas: 2
memory: 1Gi
cpu: 10m
node-role.kubernetes.io/control-plane: ""
- operator: Exists
topologyKey: kubernetes.io/hostname
whenUnsatisfiable: ScheduleAnyway
priorityClassName: important
example.com/scrape: "false"
kubectl.kubernetes.io/default-container: operator
- --metrics-address=:19642
- --observe-address=:19643
- --health-address=127.0.0.1:19641
- containerPort: 19641
- containerPort: 19642
- containerPort: 19643
- --log-level=debug
- --log-format=text
- --metrics-plain`,
		"Service sluice-operator-metrics": "port: 19642",
		"Enforcer default": `failurePolicy: Open
markMask: "0x30000"
example.com/enforced: "true"
maxUnavailable: 5
cpu: 1
mode: Localhost
- registry
host: api.example.com
port: 8443
seLinuxType: spc_t
release: prometheus
team: network
helm.sh/resource-policy: keep
example.com/contact: network@example.com`,
		"ServiceMonitor sluice-operator": "release: prometheus",
		"PrometheusRule sluice":          "release: prometheus",
		"ConfigMap sluice-dashboard":     "release: prometheus\ngrafana_dashboard: \"1\"",
		"ClusterRoleBinding sluice-metrics-readers": `namespace: monitoring
name: prometheus-k8s
name: sluice-metrics-reader`,
		"SecurityContextConstraints sluice-node": "team: network",
		"ResourceQuota sluice-critical-pods":     "team: network",
	} {
		kind, name, _ := strings.Cut(place, " ")
		text := encode(t, find(t, objects, kind, name))
		for line := range strings.SplitSeq(want, "\n") {
			if !slices.Contains(text, line) {
				t.Errorf("%s lacks the line %s:\n%s", place, line, strings.Join(text, "\n"))
			}
		}
	}
	tagged := find(t, rendered(t, "image: {repository: registry.example/sluice, tag: v9}"), "Deployment", "sluice-operator")
	if image := "image: registry.example/sluice:v9"; !slices.Contains(encode(t, tagged), image) {
		t.Errorf("the operator lacks %s", image)
	}
}

// TestEnforcerHasPrecedence checks that a field of enforcer.spec replaces the default that another
// value of the chart sets, and that no Enforcer is created if enforcer.create is false.
func TestEnforcerHasPrecedence(t *testing.T) {
	object := find(t, rendered(t, `
imagePullSecrets: [{name: registry}]
openshift: {enabled: true}
apiServer: {host: api.example.com}
monitoring: {labels: {release: prometheus}}
enforcer: {spec: {imagePullSecrets: [nodes], seLinuxType: container_t, apiServer: {host: 10.0.0.1, port: 6443}, monitoring: {labels: {a: b}}}}`), "Enforcer", "default")
	want := map[string]any{
		"imagePullSecrets": []any{"nodes"}, "seLinuxType": "container_t",
		"apiServer":  map[string]any{"host": "10.0.0.1", "port": float64(6443)},
		"monitoring": map[string]any{"labels": map[string]any{"a": "b"}},
	}
	if diff := cmp.Diff(want, object.Object["spec"]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, object := range rendered(t, "enforcer: {create: false}") {
		if object.GetKind() == "Enforcer" {
			t.Error("the chart creates the Enforcer although enforcer.create is false")
		}
	}
}

// TestNamespaceOfRelease checks that the objects of a release in another namespace do not name
// the namespace in config/.
func TestNamespaceOfRelease(t *testing.T) {
	for _, object := range renderedIn(t, "another", files(t)["all"]) {
		if object.GetKind() == "CustomResourceDefinition" {
			continue
		}
		if text := strings.Join(encode(t, object), "\n"); strings.Contains(text, namespace) {
			t.Errorf("%s %s names the namespace %s:\n%s", object.GetKind(), object.GetName(), namespace, text)
		}
	}
}
