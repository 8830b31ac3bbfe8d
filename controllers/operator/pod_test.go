package operator_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/operator"
)

var update = flag.Bool("update", false, "write the golden files anew")

// everyField is a spec that differs from the default in each field.
func everyField() v1alpha1.EnforcerSpec {
	return v1alpha1.EnforcerSpec{
		Image:         "registry.example/mirror/sluice:v1",
		FailurePolicy: v1alpha1.FailOpen,
		DenyAction:    v1alpha1.DenyReject,
		Queues:        v1alpha1.Queues{Base: ptr.To[int32](100), Count: ptr.To[int32](4)},
		MarkMask:      "0x30000",
		NodeSelector:  map[string]string{"pool": "edge"},
		Tolerations:   []v1alpha1.Toleration{{Key: "gpu", Operator: v1alpha1.TolerationEqual, Value: "a", Effect: v1alpha1.TaintNoSchedule}},
		Agent: &v1alpha1.Container{Resources: v1alpha1.Resources{
			Limits: v1alpha1.ResourceList{"memory": resource.MustParse("256Mi")},
		}},
		Dataplane: &v1alpha1.Container{Resources: v1alpha1.Resources{
			Requests: v1alpha1.ResourceList{"cpu": resource.MustParse("250m")},
		}},
		RefusalLog: v1alpha1.RefusalLog{LinesPerSecond: ptr.To[int32](0)},
	}
}

// TestPod compares the pods with files that show each part of them. A change
// there is a change of what runs on every node.
func TestPod(t *testing.T) {
	plain, full := &v1alpha1.Enforcer{}, &v1alpha1.Enforcer{Spec: everyField()}
	for name, pod := range map[string]corev1.PodTemplateSpec{
		"pod_empty_spec":  operator.Pod(plain, "sluice:test"),
		"pod_every_field": operator.Pod(full, "sluice:test"),
		"uninstall_pod":   operator.UninstallPod(full, "sluice:test"),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := yaml.Marshal(pod)
			must(t, err)
			path := filepath.Join("testdata", name+".yaml")
			if *update {
				must(t, os.MkdirAll("testdata", 0o755))
				must(t, os.WriteFile(path, got, 0o644))
			}
			want, err := os.ReadFile(path)
			must(t, err)
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s (-want +got); go test -update writes it anew:\n%s", path, diff)
			}
		})
	}
}

// TestPodPrivileges says what a pod may never have, whatever its golden file says.
func TestPodPrivileges(t *testing.T) {
	pod := operator.Pod(&v1alpha1.Enforcer{Spec: everyField()}, "sluice:test")
	if pod.Spec.AutomountServiceAccountToken == nil || *pod.Spec.AutomountServiceAccountToken {
		t.Error("every container gets a token")
	}
	if pod.Spec.HostPID || pod.Spec.HostIPC {
		t.Error("the pod sees the node's processes")
	}
	for _, c := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
		s := c.SecurityContext
		switch {
		case s.Privileged != nil && *s.Privileged:
			t.Errorf("%s is privileged", c.Name)
		case s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation:
			t.Errorf("%s may escalate", c.Name)
		case s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem:
			t.Errorf("%s may write its root", c.Name)
		}
		want := map[string][]corev1.Capability{"dataplane": {"NET_ADMIN"}}[c.Name]
		if diff := cmp.Diff(want, s.Capabilities.Add); diff != "" {
			t.Errorf("%s has other capabilities (-want +got):\n%s", c.Name, diff)
		}
		token := false
		for _, mount := range c.VolumeMounts {
			token = token || mount.Name == "token"
		}
		if token != (c.Name == "agent") {
			t.Errorf("%s has a token: %v", c.Name, token)
		}
	}
}
