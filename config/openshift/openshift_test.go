// Package openshift_test checks that the SecurityContextConstraints for OpenShift admit the pods of
// Sluice.
package openshift_test

import (
	"os"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
)

// constraints contains the fields of SecurityContextConstraints that the tests check.
type constraints struct {
	Metadata                                                       struct{ Name string }
	AllowHostDirVolumePlugin, AllowHostNetwork, AllowHostPorts     bool
	AllowHostPID, AllowHostIPC, AllowPrivilegedContainer           bool
	AllowPrivilegeEscalation, ReadOnlyRootFilesystem               bool
	AllowedCapabilities, RequiredDropCapabilities, SeccompProfiles []string
	Volumes                                                        []string
	RunAsUser, SELinuxContext                                      struct{ Type string }
}

func read(t *testing.T, name string, into any) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err == nil {
		err = yaml.Unmarshal(content, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestConstraintsAdmitPods checks that the SecurityContextConstraints admit the enforcing pods, and
// permit nothing that these pods do not need.
func TestConstraintsAdmitPods(t *testing.T) {
	var c constraints
	read(t, "constraints.yaml", &c)
	var capabilities, volumes []string
	for _, pod := range []corev1.PodTemplateSpec{
		desired.Pod(&v1alpha1.Enforcer{}, "sluice:test"), desired.UninstallPod(&v1alpha1.Enforcer{}, "sluice:test"),
	} {
		s := pod.Spec
		if s.HostNetwork && !c.AllowHostNetwork || s.HostPID && !c.AllowHostPID || s.HostIPC && !c.AllowHostIPC {
			t.Error("the constraints do not admit the host namespaces of the pod")
		}
		for _, container := range slices.Concat(s.InitContainers, s.Containers) {
			if len(container.Ports) > 0 && !c.AllowHostPorts {
				t.Errorf("container %s declares ports", container.Name)
			}
			security := container.SecurityContext
			for _, capability := range security.Capabilities.Add {
				capabilities = append(capabilities, string(capability))
			}
			if c.ReadOnlyRootFilesystem && !*security.ReadOnlyRootFilesystem || *security.AllowPrivilegeEscalation && !c.AllowPrivilegeEscalation {
				t.Errorf("the constraints do not admit container %s", container.Name)
			}
		}
		for _, volume := range s.Volumes {
			volumes = append(volumes, kindOf(t, volume))
		}
	}
	sameSet(t, "allowedCapabilities", capabilities, c.AllowedCapabilities)
	sameSet(t, "volumes", volumes, c.Volumes)
	if c.AllowPrivilegedContainer || !c.AllowHostDirVolumePlugin || c.RunAsUser.Type != "RunAsAny" || c.SELinuxContext.Type != "RunAsAny" {
		t.Errorf("constraints %+v", c)
	}
}

func kindOf(t *testing.T, volume corev1.Volume) string {
	t.Helper()
	switch {
	case volume.EmptyDir != nil:
		return "emptyDir"
	case volume.HostPath != nil:
		return "hostPath"
	case volume.Projected != nil:
		return "projected"
	}
	t.Fatalf("volume %s has another kind", volume.Name)
	return ""
}

func sameSet(t *testing.T, field string, needed, permitted []string) {
	t.Helper()
	for _, set := range []*[]string{&needed, &permitted} {
		slices.Sort(*set)
		*set = slices.Compact(*set)
	}
	if !slices.Equal(needed, permitted) {
		t.Errorf("%s: %v, but the pods need %v", field, permitted, needed)
	}
}

// TestServiceAccountsMayUseConstraints checks that the pods' service accounts are bound to the role
// that permits the use of the SecurityContextConstraints.
func TestServiceAccountsMayUseConstraints(t *testing.T) {
	var c constraints
	read(t, "constraints.yaml", &c)
	binding := wantUse(t, c.Metadata.Name, "role.yaml", "role_binding.yaml")
	for _, pod := range []corev1.PodTemplateSpec{
		desired.Pod(&v1alpha1.Enforcer{}, "sluice:test"), desired.UninstallPod(&v1alpha1.Enforcer{}, "sluice:test"),
	} {
		account := pod.Spec.ServiceAccountName
		if account == "" {
			account = "default"
		}
		if !slices.ContainsFunc(binding.Subjects, func(s rbacv1.Subject) bool { return s.Name == account }) {
			t.Errorf("service account %s may not use the constraints", account)
		}
	}
}

// wantUse checks that a role grants only the use of the given SecurityContextConstraints, and that
// the binding refers to this role. It returns the binding.
func wantUse(t *testing.T, constraints, roleFile, bindingFile string) *rbacv1.RoleBinding {
	t.Helper()
	var role rbacv1.Role
	var binding rbacv1.RoleBinding
	read(t, roleFile, &role)
	read(t, bindingFile, &binding)
	if rule := role.Rules[0]; !slices.Equal(rule.ResourceNames, []string{constraints}) || !slices.Equal(rule.Verbs, []string{"use"}) || len(role.Rules) != 1 {
		t.Errorf("rules %v, want only the use of %s", role.Rules, constraints)
	}
	if binding.RoleRef.Name != role.Name {
		t.Errorf("role %s is bound, want %s", binding.RoleRef.Name, role.Name)
	}
	return &binding
}

// TestOperatorIsRestricted checks that OpenShift's SecurityContextConstraints hostnetwork-v2 admit
// the operator. They assign a user ID from the range of the namespace, so the operator must not set
// a user ID.
func TestOperatorIsRestricted(t *testing.T) {
	var deployment appsv1.Deployment
	read(t, "../manager/deployment.yaml", &deployment)
	spec := deployment.Spec.Template.Spec
	binding := wantUse(t, "hostnetwork-v2", "operator_role.yaml", "operator_role_binding.yaml")
	if !slices.ContainsFunc(binding.Subjects, func(s rbacv1.Subject) bool { return s.Name == spec.ServiceAccountName }) {
		t.Errorf("service account %s may not use the constraints", spec.ServiceAccountName)
	}
	if !spec.HostNetwork {
		t.Error("the operator is in the pod network: it cannot start on a node with rules but without a running dataplane")
	}
	if spec.HostPID || spec.HostIPC || len(spec.Volumes) > 0 {
		t.Errorf("host namespaces or volumes of the operator: %+v", spec)
	}
	if s := spec.SecurityContext; s.RunAsUser != nil || s.RunAsGroup != nil || s.FSGroup != nil || !*s.RunAsNonRoot ||
		s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("security context of the pod %+v", s)
	}
	for _, container := range spec.Containers {
		s := container.SecurityContext
		if s.RunAsUser != nil || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
			t.Errorf("security context of container %s %+v", container.Name, s)
		}
	}
}
