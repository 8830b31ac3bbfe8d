package desired_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/controllers/enforcer/internal/fullspec"
	"github.com/sluicenet/sluice/test/golden"
)

// TestPodsMatchGoldenFiles compares the complete pods with golden files. Review changes of
// these files with care, because they affect every node.
func TestPodsMatchGoldenFiles(t *testing.T) {
	plain, full := &v1alpha1.Enforcer{}, &v1alpha1.Enforcer{Spec: fullspec.Spec()}
	for name, pod := range map[string]corev1.PodTemplateSpec{
		"pod_empty_spec":  desired.Pod(plain, "sluice:test"),
		"pod_every_field": desired.Pod(full, "sluice:test"),
		"uninstall_pod":   desired.UninstallPod(full, "sluice:test"),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := yaml.Marshal(pod)
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join("testdata", name+".yaml"), string(got))
		})
	}
}

// TestNoCNIResults checks that the dataplane has no access to CNI results if the Enforcer
// disables them.
func TestNoCNIResults(t *testing.T) {
	spec := v1alpha1.EnforcerSpec{CNIResults: ptr.To("")}
	pod := desired.Pod(&v1alpha1.Enforcer{Spec: spec}, "sluice:test")
	text, err := yaml.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); strings.Contains(got, "/var/lib") || !strings.Contains(got, "- --cni-results\n    - \"\"\n") {
		t.Errorf("got a pod that reads CNI results:\n%s", got)
	}
}

// TestPodPrivileges checks that the pods lack certain privileges. This check also finds
// privileges that a wrong golden file contains.
func TestPodPrivileges(t *testing.T) {
	pod := desired.Pod(&v1alpha1.Enforcer{Spec: fullspec.Spec()}, "sluice:test")
	if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
		t.Error("every container has a token")
	}
	if pod.Spec.HostPID || pod.Spec.HostIPC {
		t.Error("the pod has access to the processes of the node")
	}
	for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
		s := c.SecurityContext
		switch {
		case s.Privileged != nil && *s.Privileged:
			t.Errorf("%s is privileged", c.Name)
		case s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation:
			t.Errorf("%s can gain privileges", c.Name)
		case s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem:
			t.Errorf("%s can write to its root file system", c.Name)
		}
		want := map[string][]corev1.Capability{"dataplane": {"NET_ADMIN"}}[c.Name]
		if diff := cmp.Diff(want, s.Capabilities.Add); diff != "" {
			t.Errorf("%s has other capabilities (-want +got):\n%s", c.Name, diff)
		}
		token := false
		for _, mount := range c.VolumeMounts {
			token = token || mount.Name == "token"
			if mount.Name == "cni-results" && (c.Name != "dataplane" || !mount.ReadOnly) {
				t.Errorf("%s has the CNI results, read-only: %v", c.Name, mount.ReadOnly)
			}
		}
		if token != (c.Name == "agent") {
			t.Errorf("%s has a token: %v", c.Name, token)
		}
	}
}

// TestServiceMonitorLabels checks that the ServiceMonitor has the labels in the spec in addition
// to its own labels.
func TestServiceMonitorLabels(t *testing.T) {
	got := desired.ServiceMonitor(&v1alpha1.Enforcer{Spec: fullspec.Spec()}, "sluice-system").GetLabels()
	want := map[string]string{
		"release": "prometheus", desired.LabelName: desired.AppName, desired.LabelComponent: desired.ComponentNode,
		desired.LabelManagedBy: desired.FieldOwner,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if labels := desired.ServiceMonitor(&v1alpha1.Enforcer{}, "sluice-system").GetLabels(); labels["release"] != "" {
		t.Errorf("labels %v of an Enforcer without monitoring", labels)
	}
}

// TestVirtualNodes checks that the affinity of the pods excludes the same nodes as IsVirtual.
func TestVirtualNodes(t *testing.T) {
	terms := desired.Pod(&v1alpha1.Enforcer{}, "sluice:test").Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	for _, tt := range []struct {
		key, value string
		virtual    bool
	}{
		{"eks.amazonaws.com/compute-type", "fargate", true},
		{"eks.amazonaws.com/compute-type", "ec2", false},
		{"type", "virtual-kubelet", true},
		{"type", "gpu", false},
		{"kubernetes.io/os", "linux", false},
	} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{tt.key: tt.value}}}
		if got := desired.IsVirtual(node); got != tt.virtual {
			t.Errorf("%s=%s: virtual is %v, want %v", tt.key, tt.value, got, tt.virtual)
		}
		excluded := slices.ContainsFunc(terms.NodeSelectorTerms[0].MatchExpressions, func(r corev1.NodeSelectorRequirement) bool {
			return r.Operator == corev1.NodeSelectorOpNotIn && r.Key == tt.key && slices.Contains(r.Values, tt.value)
		})
		if excluded != tt.virtual {
			t.Errorf("%s=%s: the affinity excludes the node: %v, want %v", tt.key, tt.value, excluded, tt.virtual)
		}
	}
}
