package kube

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// Scheme knows the kinds of Kubernetes and our own.
func Scheme() *runtime.Scheme {
	known := runtime.NewScheme()
	utilruntime.Must(scheme.AddToScheme(known))
	utilruntime.Must(v1alpha1.AddToScheme(known))
	return known
}

// Client gives a client that may do everything and caches nothing.
func (s *Server) Client(t testing.TB) client.WithWatch {
	t.Helper()
	return s.ClientFor(t, s.environment.Config)
}

// ClientFor gives a client that may do what the configuration's user may, and
// caches nothing.
func (*Server) ClientFor(t testing.TB, config *rest.Config) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(config, client.Options{Scheme: Scheme()})
	if err != nil {
		t.Fatalf("making a client: %v", err)
	}
	return c
}

// User gives a configuration for clients of a new user, who may do nothing but
// what roles bound to the name or the groups allow.
func (s *Server) User(t testing.TB, name string, groups ...string) *rest.Config {
	t.Helper()
	user, err := s.environment.AddUser(envtest.User{Name: name, Groups: groups}, nil)
	if err != nil {
		t.Fatalf("making the user %s: %v", name, err)
	}
	return user.Config()
}

// Kubeconfig writes a kubeconfig file for an administrator and gives its path.
func (s *Server) Kubeconfig(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, s.environment.KubeConfig, 0o600); err != nil {
		t.Fatalf("writing a kubeconfig: %v", err)
	}
	return path
}

// Namespace makes a new namespace and gives its name. It stays when the test has
// ended, since a namespace without its controller never goes.
func (s *Server) Namespace(t testing.TB) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := s.Client(t).Create(t.Context(), namespace); err != nil {
		t.Fatalf("making a namespace: %v", err)
	}
	return namespace.Name
}
