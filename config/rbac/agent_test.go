package rbac_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/clusterpolicy"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
)

const (
	namespace = "sluice-system"
	agent     = "system:serviceaccount:" + namespace + ":sluice-agent"
	nodeName  = "authentication.kubernetes.io/node-name"
)

var server *kube.Server

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }

// install creates the objects that grant rights to agents.
func install(t *testing.T) {
	t.Helper()
	apply(t, rbac.Agent, func() bool { return may(t, "watch", "networking.k8s.io", "networkpolicies", "") })
}

// apply creates objects and waits until they take effect. The wait is necessary because the API
// server caches roles.
func apply(t *testing.T, objectsFor func(namespace string) ([]*unstructured.Unstructured, error), effective func() bool) {
	t.Helper()
	c := server.Client(t)
	create(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	objects, err := objectsFor(namespace)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects {
		create(t, c, object)
	}
	eventually.NoError(t, func() error {
		if !effective() {
			return errors.New("the roles have no effect yet")
		}
		return nil
	})
}

func create(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatalf("creating %s: %v", object.GetName(), err)
	}
}

// The function `as` returns a client with the rights of an agent whose token is bound to the
// given node. If the `node` parameter is empty, the token is not bound to a node.
func as(t *testing.T, node string) client.Client {
	t.Helper()
	config := server.Config()
	config.Impersonate = rest.ImpersonationConfig{
		UserName: agent,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	if node != "" {
		config.Impersonate.Extra = map[string][]string{nodeName: {node}}
	}
	return server.ClientFor(t, config)
}

// The function `may` reports whether the role of the agent allows a request.
func may(t *testing.T, verb, group, resource, inNamespace string) bool {
	t.Helper()
	resource, subresource, _ := strings.Cut(resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   agent,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Group: group, Resource: resource, Subresource: subresource, Namespace: inNamespace,
		},
	}}
	if err := server.Client(t).Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

// TestAgentMayRead checks that the agent can read, but not write, the kinds from which it
// compiles trees.
func TestAgentMayRead(t *testing.T) {
	install(t)
	for _, kind := range []struct{ group, resource string }{
		{"", "pods"},
		{"", "namespaces"},
		{"", "nodes"},
		{"networking.k8s.io", "networkpolicies"},
		{"policy.networking.k8s.io", "clusternetworkpolicies"},
	} {
		for _, verb := range []string{"get", "list", "watch"} {
			if !may(t, verb, kind.group, kind.resource, "") {
				t.Errorf("the agent may not %s %s", verb, kind.resource)
			}
		}
		for _, verb := range []string{"create", "update", "patch", "delete", "deletecollection"} {
			if may(t, verb, kind.group, kind.resource, "") {
				t.Errorf("the agent may %s %s", verb, kind.resource)
			}
		}
	}
}

// TestAgentMayReadOneDefinition checks that the agent can read the CustomResourceDefinition of
// ClusterNetworkPolicies, and no other one.
func TestAgentMayReadOneDefinition(t *testing.T) {
	install(t)
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(clusterpolicy.DefinitionKind)
	c := as(t, "")
	if err := c.List(t.Context(), list, client.MatchingFields{"metadata.name": clusterpolicy.DefinitionName}); err != nil {
		t.Error(err)
	}
	if err := c.List(t.Context(), list, client.MatchingFields{"metadata.name": "enforcers.policy.sluice.dev"}); !apierrors.IsForbidden(err) {
		t.Errorf("another definition: %v, want an error that it is forbidden", err)
	}
}

// TestAgentMayReport checks that the agent can write its NodeEnforcer, its Lease and Events.
func TestAgentMayReport(t *testing.T) {
	install(t)
	for _, right := range []struct{ verb, group, resource string }{
		{"get", v1alpha1.GroupVersion.Group, "nodeenforcers"},
		{"create", v1alpha1.GroupVersion.Group, "nodeenforcers"},
		{"update", v1alpha1.GroupVersion.Group, "nodeenforcers/status"},
		{"create", "events.k8s.io", "events"},
	} {
		if !may(t, right.verb, right.group, right.resource, "") {
			t.Errorf("the agent may not %s %s", right.verb, right.resource)
		}
	}
	for _, verb := range []string{"get", "create", "update"} {
		if !may(t, verb, "coordination.k8s.io", "leases", namespace) {
			t.Errorf("the agent may not %s Leases in its namespace", verb)
		}
		if may(t, verb, "coordination.k8s.io", "leases", "kube-node-lease") {
			t.Errorf("the agent may %s Leases in another namespace", verb)
		}
	}
}

// TestAgentMayNot checks that the agent lacks all rights with which an attacker on a
// compromised node could take over other nodes.
func TestAgentMayNot(t *testing.T) {
	install(t)
	everything := []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
	write := everything[3:]
	for _, forbidden := range []struct {
		group, resource string
		verbs           []string
	}{
		{"", "secrets", everything},
		{"", "configmaps", everything},
		{"", "pods/exec", everything},
		{"", "pods/ephemeralcontainers", everything},
		{"", "pods/status", write},
		{"", "nodes/proxy", everything},
		{"", "nodes/status", write},
		{"", "serviceaccounts/token", everything},
		{"", "serviceaccounts", []string{"impersonate"}},
		{"", "users", []string{"impersonate"}},
		{"", "events", everything},
		{"events.k8s.io", "events", []string{"get", "list", "watch", "update", "patch", "delete", "deletecollection"}},
		{"coordination.k8s.io", "leases", []string{"list", "watch", "patch", "delete", "deletecollection"}},
		{"apps", "daemonsets", everything},
		{"apiextensions.k8s.io", "customresourcedefinitions", everything},
		{"policy.networking.k8s.io", "clusternetworkpolicies/status", write},
		{"rbac.authorization.k8s.io", "clusterroles", append([]string{"bind", "escalate"}, everything...)},
		{"rbac.authorization.k8s.io", "clusterrolebindings", everything},
		{"admissionregistration.k8s.io", "validatingadmissionpolicies", everything},
		{v1alpha1.GroupVersion.Group, "enforcers", write},
		{v1alpha1.GroupVersion.Group, "enforcers/status", everything},
		{v1alpha1.GroupVersion.Group, "policystatuses", everything},
		{v1alpha1.GroupVersion.Group, "policystatuses/status", everything},
		{v1alpha1.GroupVersion.Group, "nodeenforcers", []string{"update", "patch", "delete", "deletecollection"}},
	} {
		for _, verb := range forbidden.verbs {
			for _, where := range []string{"", namespace, "kube-system"} {
				if may(t, verb, forbidden.group, forbidden.resource, where) {
					t.Errorf("the agent may %s %s in namespace %q", verb, forbidden.resource, where)
				}
			}
		}
	}
}

// TestOwnNodeOnly tests only the admission policy. For this purpose, the agent has all rights
// on NodeEnforcers in this test.
func TestOwnNodeOnly(t *testing.T) {
	install(t)
	admin := server.Client(t)
	create(t, admin, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "every-nodeenforcer"},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.GroupVersion.Group},
			Resources: []string{"nodeenforcers", "nodeenforcers/status"}, Verbs: []string{"*"},
		}},
	})
	create(t, admin, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "every-nodeenforcer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "every-nodeenforcer"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "sluice-agent", Namespace: namespace}},
	})
	waitUntilEnforced(t)

	own := nodeEnforcer("node-a")
	if err := as(t, "node-a").Create(t.Context(), own); err != nil {
		t.Fatalf("creating the own NodeEnforcer: %v", err)
	}
	own.Status.Policies = 3
	if err := as(t, "node-a").Status().Update(t.Context(), own); err != nil {
		t.Errorf("writing the own status: %v", err)
	}
	lease := leaseOf("node-a")
	if err := as(t, "node-a").Create(t.Context(), lease); err != nil {
		t.Fatalf("creating the own Lease: %v", err)
	}
	if err := as(t, "node-a").Update(t.Context(), lease); err != nil {
		t.Errorf("renewing the own Lease: %v", err)
	}
	// The operator uses this Lease for leader election.
	elected := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "sluice-operator"}}
	create(t, admin, elected)
	tests := map[string]struct {
		node string
		try  func(c client.Client) error
	}{
		"create for another node":  {"node-a", func(c client.Client) error { return c.Create(t.Context(), nodeEnforcer("node-b")) }},
		"update of another node":   {"node-b", func(c client.Client) error { return c.Update(t.Context(), labelled(own)) }},
		"status of another node":   {"node-b", func(c client.Client) error { return c.Status().Update(t.Context(), own.DeepCopy()) }},
		"delete of another node":   {"node-b", func(c client.Client) error { return c.Delete(t.Context(), own.DeepCopy()) }},
		"token without a node":     {"", func(c client.Client) error { return c.Create(t.Context(), nodeEnforcer("node-c")) }},
		"lease of another node":    {"node-a", func(c client.Client) error { return c.Create(t.Context(), leaseOf("node-b")) }},
		"renewal of another node":  {"node-b", func(c client.Client) error { return c.Update(t.Context(), lease.DeepCopy()) }},
		"lease of the operator":    {"node-a", func(c client.Client) error { return c.Update(t.Context(), elected.DeepCopy()) }},
		"node name without prefix": {"sluice-operator", func(c client.Client) error { return c.Update(t.Context(), elected.DeepCopy()) }},
		"generated name":           {"node-a", func(c client.Client) error { return c.Create(t.Context(), generated("node-")) }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.try(as(t, tt.node))
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "only the NodeEnforcer and the Lease of the node") {
				t.Errorf("error %v, want it forbidden by the admission policy", err)
			}
		})
	}
	if err := admin.Delete(t.Context(), own); err != nil {
		t.Errorf("deleting as an administrator: %v", err)
	}
}

// waitUntilEnforced waits until the admission policy and the role have taken effect.
func waitUntilEnforced(t *testing.T) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		last = as(t, "nowhere").Create(t.Context(), nodeEnforcer("somewhere"), client.DryRunAll)
		return apierrors.IsForbidden(last) && strings.Contains(last.Error(), "only the NodeEnforcer and the Lease of the node"), nil
	})
	if err != nil {
		t.Fatalf("waiting for the admission policy: %v; last error: %v", err, last)
	}
}

func nodeEnforcer(name string) *v1alpha1.NodeEnforcer {
	return &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func leaseOf(node string) *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.HeartbeatLease(node)}}
}

func generated(prefix string) *v1alpha1.NodeEnforcer {
	return &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}
}

func labelled(e *v1alpha1.NodeEnforcer) *v1alpha1.NodeEnforcer {
	changed := e.DeepCopy()
	changed.Labels = map[string]string{"changed": "yes"}
	return changed
}
