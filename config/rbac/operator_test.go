package rbac_test

import (
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
)

const operator = "system:serviceaccount:" + namespace + ":sluice-operator"

// request describes a request that the operator could send to the API server.
type request struct {
	verb, group, resource, namespace, name string
}

// operatorMay reports whether the role of the operator allows a request.
func operatorMay(t *testing.T, r request) bool {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   operator,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: r.verb, Group: r.group, Resource: r.resource, Namespace: r.namespace, Name: r.name,
		},
	}}
	if err := server.Client(t).Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

func installOperator(t *testing.T) {
	t.Helper()
	apply(t, rbac.Operator, func() bool {
		return operatorMay(t, request{"list", "apps", "daemonsets", namespace, ""}) &&
			operatorMay(t, request{"list", v1alpha1.GroupVersion.Group, "enforcers", "", ""})
	})
}

// TestOperatorMayNot checks that the operator has only rights that it needs. One of these is
// powerful: the operator can run privileged pods on nodes.
func TestOperatorMayNot(t *testing.T) {
	installOperator(t)
	const roles, admission = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
	read := []string{"get", "list", "watch"}
	write := []string{"create", "update", "patch", "delete", "deletecollection"}
	everything := append(append([]string{}, read...), write...)
	for _, forbidden := range []struct {
		group, resource, name string
		verbs                 []string
		namespaces            []string
	}{
		{"", "secrets", "", everything, []string{"", namespace, "kube-system"}},
		{"", "configmaps", "", everything, []string{"", namespace, "kube-system"}},
		{"", "pods", "", write, []string{"", namespace, "kube-system"}},
		{"", "pods/exec", "", everything, []string{"", namespace}},
		{"", "serviceaccounts/token", "", everything, []string{"", namespace}},
		{"", "serviceaccounts", "sluice-operator", write, []string{namespace}},
		{"", "serviceaccounts", "", []string{"impersonate"}, []string{"", namespace}},
		{"", "users", "", []string{"impersonate"}, []string{""}},
		{"", "nodes", "", []string{"create", "update", "delete", "deletecollection"}, []string{""}},
		{"", "nodes/status", "", write, []string{""}},
		{"", "nodes/proxy", "", everything, []string{""}},
		{"", "namespaces", "", write, []string{""}},
		{"apps", "daemonsets", "sluice", everything, []string{"", "kube-system"}},
		{"apps", "daemonsets", "another", write, []string{namespace}},
		{"apps", "deployments", "", everything, []string{"", namespace}},
		{"", "services", "another", write, []string{namespace}},
		{"coordination.k8s.io", "leases", "another", []string{"patch", "delete", "deletecollection"}, []string{namespace}},
		{"coordination.k8s.io", "leases", "", everything, []string{"", "kube-system", "kube-node-lease"}},
		{"networking.k8s.io", "networkpolicies", "", write, []string{"", "default"}},
		{roles, "clusterroles", "cluster-admin", append([]string{"bind", "escalate"}, everything...), []string{""}},
		{roles, "clusterroles", "sluice-agent", []string{"bind", "escalate"}, []string{""}},
		{roles, "clusterroles", "sluice-operator", append([]string{"bind", "escalate"}, write...), []string{""}},
		{roles, "clusterrolebindings", "sluice-operator", write, []string{""}},
		{roles, "roles", "", everything, []string{"", namespace}},
		{roles, "rolebindings", "", everything, []string{"", namespace}},
		{admission, "validatingadmissionpolicies", "another", everything, []string{""}},
		{admission, "validatingwebhookconfigurations", "", everything, []string{""}},
		{admission, "mutatingwebhookconfigurations", "", everything, []string{""}},
		{"apiextensions.k8s.io", "customresourcedefinitions", "", everything, []string{""}},
		{v1alpha1.GroupVersion.Group, "enforcers", "default", []string{"create", "update", "delete"}, []string{""}},
	} {
		for _, verb := range forbidden.verbs {
			for _, where := range forbidden.namespaces {
				if operatorMay(t, request{verb, forbidden.group, forbidden.resource, where, forbidden.name}) {
					t.Errorf("the operator may %s %s %q in namespace %q", verb, forbidden.resource, forbidden.name, where)
				}
			}
		}
	}
}

// TestOperatorCannotEscalate checks that the operator can write the agent's role, but can
// neither add rights that the operator lacks nor bind another role to agents.
func TestOperatorCannotEscalate(t *testing.T) {
	installOperator(t)
	config := server.Config()
	config.Impersonate = rest.ImpersonationConfig{UserName: operator, Groups: []string{"system:authenticated"}}
	c := server.ClientFor(t, config)
	apply := func(object *unstructured.Unstructured) error {
		return c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner("test"), client.ForceOwnership, client.DryRunAll)
	}
	objects, err := rbac.Agent(namespace)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		if kind := object.GetKind(); kind == "ClusterRole" || kind == "Role" {
			create(t, server.Client(t), object.DeepCopy())
		}
		if err := apply(object.DeepCopy()); err != nil {
			t.Errorf("applying %s without changes: %v", object.GetKind(), err)
		}
	}
	role := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": rbacv1.SchemeGroupVersion.String(), "kind": "ClusterRole",
		"metadata": map[string]any{"name": "sluice-agent"},
		"rules":    []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"secrets"}, "verbs": []any{"get"}}},
	}}
	if err := apply(role); !apierrors.IsForbidden(err) {
		t.Errorf("giving agents the right to read Secrets: %v, want Forbidden", err)
	}
	binding := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": rbacv1.SchemeGroupVersion.String(), "kind": "ClusterRoleBinding",
		"metadata": map[string]any{"name": "sluice-agent"},
		"roleRef":  map[string]any{"apiGroup": rbacv1.GroupName, "kind": "ClusterRole", "name": "cluster-admin"},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "sluice-agent", "namespace": namespace}},
	}}
	if err := apply(binding); !apierrors.IsForbidden(err) {
		t.Errorf("making agents administrators: %v, want Forbidden", err)
	}
}
