package kube

import (
	"os"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// Scheme returns a scheme with the kinds of Kubernetes and the kinds of this project.
func Scheme() *runtime.Scheme {
	known := runtime.NewScheme()
	utilruntime.Must(scheme.AddToScheme(known))
	utilruntime.Must(v1alpha1.AddToScheme(known))
	return known
}

// Client returns a client that has all rights and uses no cache.
func (s *Server) Client(t testing.TB) client.WithWatch {
	t.Helper()
	return s.ClientFor(t, s.environment.Config)
}

// ClientFor returns a client that uses no cache. The client has the rights of the user in the
// configuration.
func (*Server) ClientFor(t testing.TB, config *rest.Config) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(config, client.Options{Scheme: Scheme()})
	if err != nil {
		t.Fatalf("creating a client: %v", err)
	}
	return c
}

// User creates a user and returns a client configuration for this user. The user has only the
// rights of roles that are bound to the name or to a group of the user.
func (s *Server) User(t testing.TB, name string, groups ...string) *rest.Config {
	t.Helper()
	user, err := s.environment.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	if err != nil {
		t.Fatalf("creating the user %s: %v", name, err)
	}
	return user.Config()
}

// Kubeconfig writes a kubeconfig file for an administrator and returns the path of this file.
func (s *Server) Kubeconfig(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, s.environment.KubeConfig, 0o600); err != nil {
		t.Fatalf("writing a kubeconfig: %v", err)
	}
	return path
}

// Namespace creates a namespace and returns its name. The namespace is not deleted after the test,
// because no controller is running that could finish the deletion.
func (s *Server) Namespace(t testing.TB) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := s.Client(t).Create(t.Context(), namespace); err != nil {
		t.Fatalf("creating a namespace: %v", err)
	}
	return namespace.Name
}

// Token returns a token of a service account. If the service account does not exist, Token creates
// it. If no audiences are given, the token is valid for the API server.
func (s *Server) Token(t testing.TB, namespace, account string, audiences ...string) string {
	t.Helper()
	c := s.Client(t)
	object := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: account}}
	if err := client.IgnoreAlreadyExists(c.Create(t.Context(), object)); err != nil {
		t.Fatalf("creating a service account: %v", err)
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	if err := c.SubResource("token").Create(t.Context(), object, request); err != nil {
		t.Fatalf("requesting a token: %v", err)
	}
	return request.Status.Token
}

// Grant grants rights in the whole cluster to a user. The user name of a service account is
// system:serviceaccount:NAMESPACE:NAME. The API server can take a short time to apply rights.
func (s *Server) Grant(t testing.TB, user string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	c := s.Client(t)
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}, Rules: rules}
	if err := c.Create(t.Context(), role); err != nil {
		t.Fatalf("creating a role: %v", err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	if err := c.Create(t.Context(), binding); err != nil {
		t.Fatalf("binding a role: %v", err)
	}
}
