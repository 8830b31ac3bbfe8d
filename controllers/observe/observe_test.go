package observe_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/access"
	"github.com/sluicenet/sluice/controllers/node/endpoint"
	"github.com/sluicenet/sluice/controllers/observe"
	"github.com/sluicenet/sluice/controllers/observe/door"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/test/eventually"
)

const service = "sluice-observe"

// must stops the test if an error occurs.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// accountConfig returns a configuration for a service account.
func accountConfig(t *testing.T, namespace, name string) *rest.Config {
	t.Helper()
	config := rest.AnonymousClientConfig(server.Config())
	config.BearerToken = server.Token(t, namespace, name)
	return config
}

// installRoles creates the operator's objects in the namespace, and grants the agent's rights
// to a service account.
func installRoles(t *testing.T, namespace string) {
	t.Helper()
	operator, err := rbac.Operator(namespace)
	must(t, err)
	for _, object := range operator {
		if err := server.Client(t).Create(t.Context(), object); !apierrors.IsAlreadyExists(err) {
			must(t, err)
		}
	}
	agent, err := rbac.Agent(namespace)
	must(t, err)
	for _, object := range agent {
		if object.GetKind() == "ClusterRole" && object.GetName() == "sluice-agent" {
			role := &rbacv1.ClusterRole{}
			must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, role))
			server.Grant(t, "system:serviceaccount:"+namespace+":sluice-agent", role.Rules...)
		}
	}
}

// startNode starts the endpoint of an agent and a dataplane that reports one flow to each
// client.
func startNode(t *testing.T, namespace, name string) {
	t.Helper()
	reviewer, err := access.NewReviewer(accountConfig(t, namespace, "sluice-agent"))
	must(t, err)
	e := &endpoint.Endpoint{
		Address: "127.0.0.1:0", Node: name, StateDir: t.TempDir(), Log: logr.Discard(), Metrics: http.NotFoundHandler(), Reviewer: reviewer,
	}
	dataplane, err := status.Serve(e.StateDir, status.Source{
		Status: func() (report.Status, error) { return report.Status{Node: name, Generation: 7}, nil },
		Hits: func() *report.Hits {
			return &report.Hits{Counters: []report.RuleHits{{Policy: "shop/on-" + name, Count: 3}}}
		},
		Events: func(denied bool) (<-chan report.Event, func()) {
			events := make(chan report.Event, 1)
			events <- report.Event{SrcPod: fmt.Sprintf("shop/%s-%v", name, denied)}
			return events, func() {}
		},
		Connections: func(_ context.Context, f func(*report.Connection) error) error {
			return f(&report.Connection{Protocol: "TCP", Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), DstPort: 80})
		},
	})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, dataplane.Close()); err != nil {
			t.Error(err)
		}
	})
	eventually.True(t, "the endpoint listens", func() bool { return e.Published() != nil })
	publish(t, name, e.Published())
}

// publish creates the Node and the NodeEnforcer of a node.
func publish(t *testing.T, name string, published *v1alpha1.NodeEndpoint) {
	t.Helper()
	c := server.Client(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	must(t, c.Create(t.Context(), node))
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	must(t, c.Status().Update(t.Context(), node))
	enforcer := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: name}}
	must(t, c.Create(t.Context(), enforcer))
	enforcer.Status.Endpoint = published
	must(t, c.Status().Update(t.Context(), enforcer))
}

// startOperator starts the server with the rights of the operator, and creates the Service of the
// server. It returns the address of the server, and a function that stops the server.
func startOperator(t *testing.T, namespace string) (address string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	// No kube-proxy runs here, so the Service has no cluster IP: the API server connects to the
	// host localhost instead.
	err = server.Client(t).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: service},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
	})
	if !apierrors.IsAlreadyExists(err) {
		must(t, err)
	}
	s, err := observe.New(accountConfig(t, namespace, "sluice-operator"), observe.Options{
		Namespace: namespace, Service: service, ServicePort: listener.Addr().(*net.TCPAddr).Port, Log: logr.Discard(),
	})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listener) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

// raw sends a request to the API server and returns the first line of the response.
func raw(t *testing.T, config *rest.Config, path string) (string, error) {
	t.Helper()
	config = rest.CopyConfig(config)
	config.GroupVersion = &schema.GroupVersion{}
	d, err := discovery.NewDiscoveryClientForConfig(config)
	must(t, err)
	body, err := d.RESTClient().Get().RequestURI(path).Stream(t.Context())
	if err != nil {
		return "", err
	}
	defer func() { _ = body.Close() }()
	line, err := bufio.NewReader(body).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return line, err
}

func flowsOf(node string) string {
	return "/apis/" + door.Group + "/" + door.Version + "/" + door.Flows + "?watch=true&denied=true&fieldSelector=metadata.name%3D" + node
}

func statusOf(node string) string {
	return "/apis/" + door.Group + "/" + door.Version + "/" + door.Statuses + "/" + node
}

func connectionsOf(node string) string {
	return "/apis/" + door.Group + "/" + door.Version + "/" + door.Connections + "/" + node
}

// TestObserve reads flow events and statuses through the API server, as users do.
func TestObserve(t *testing.T) {
	namespace := server.Namespace(t)
	installRoles(t, namespace)
	c := server.Client(t)
	address, stop := startOperator(t, namespace)
	startNode(t, namespace, "node-a")
	startNode(t, namespace, "node-b")
	registered := &unstructured.Unstructured{}
	registered.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
	key := client.ObjectKey{Name: door.Version + "." + door.Group}
	if err := c.Get(t.Context(), key, registered); !apierrors.IsNotFound(err) {
		t.Errorf("registered without an Enforcer: %v", err)
	}
	enforcer := &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.EnforcerName}}
	must(t, c.Create(t.Context(), enforcer))
	t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context()), enforcer) })

	admin := server.Config()
	eventually.NoError(t, func() error {
		line, err := raw(t, admin, flowsOf("node-a"))
		if err == nil && !strings.Contains(line, `"srcPod":"shop/node-a-true"`) {
			err = fmt.Errorf("flow %q", line)
		}
		return err
	})
	if line, err := raw(t, admin, statusOf("node-b")); err != nil || !strings.Contains(line, `"metadata":{"name":"node-b"},"status":{`) || !strings.Contains(line, `"generation":7`) {
		t.Errorf("status %q, %v", line, err)
	}
	if line, err := raw(t, admin, connectionsOf("node-b")); err != nil || line != `{"protocol":"TCP","src":"10.0.0.1","dst":"10.0.0.2","dstPort":80}`+"\n" {
		t.Errorf("connections %q, %v", line, err)
	}
	for query, want := range map[string]bool{"": false, "?hits=true": true} {
		if line, err := raw(t, admin, statusOf("node-b")+query); err != nil || strings.Contains(line, `"policy":"shop/on-node-b"`) != want {
			t.Errorf("status with query %q: %q, %v", query, line, err)
		}
	}
	publish(t, "node-c", nil)
	for path, want := range map[string]string{
		flowsOf("node-d"): `"node-d" not found`,
		flowsOf("node-c"): "spec.endpoint.mode of the Enforcer",
		"/apis/" + door.Group + "/" + door.Version + "/" + door.Flows: "use watch=true and fieldSelector=metadata.name=NODE",
	} {
		if line, err := raw(t, admin, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("GET %s: %q, %v, want %q", path, line, err, want)
		}
	}

	t.Run("one node", func(t *testing.T) {
		user := server.User(t, "watcher")
		_, err := raw(t, user, flowsOf("node-a"))
		if want := `User "watcher" cannot watch resource "nodeflows" in API group "observe.policy.sluice.dev"`; !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("without a right: %v, want %s", err, want)
		}
		server.Grant(t, "watcher", rbacv1.PolicyRule{
			APIGroups: []string{door.Group}, Resources: []string{door.Flows}, ResourceNames: []string{"node-a"}, Verbs: []string{"watch"},
		})
		eventually.NoError(t, func() error {
			_, err := raw(t, user, flowsOf("node-a"))
			return err
		})
		for _, path := range []string{flowsOf("node-b"), statusOf("node-a"), connectionsOf("node-a")} {
			if _, err := raw(t, user, path); !apierrors.IsForbidden(err) {
				t.Errorf("GET %s: %v, want Forbidden", path, err)
			}
		}
	})
	t.Run("anonymous", func(t *testing.T) {
		if _, err := raw(t, rest.AnonymousClientConfig(admin), flowsOf("node-a")); !apierrors.IsUnauthorized(err) && !apierrors.IsForbidden(err) {
			t.Errorf("without a token: %v", err)
		}
	})
	t.Run("without the API server", func(t *testing.T) { checkDirect(t, namespace, address) })
	t.Run("another certificate", func(t *testing.T) {
		object := &v1alpha1.NodeEnforcer{}
		must(t, c.Get(t.Context(), client.ObjectKey{Name: "node-a"}, object))
		object.Status.Endpoint.CertificateSHA256 = strings.Repeat("0", 64)
		must(t, c.Status().Update(t.Context(), object))
		if _, err := raw(t, admin, flowsOf("node-a")); err == nil || !strings.Contains(err.Error(), "another certificate") {
			t.Errorf("with the fingerprint of another certificate: %v", err)
		}
	})
	t.Run("the last operator ends", func(t *testing.T) {
		_, stopOther := startOperator(t, namespace)
		eventually.NoError(t, func() error {
			must(t, c.Get(t.Context(), key, registered))
			if bundle, _, _ := unstructured.NestedString(registered.Object, "spec", "caBundle"); len(bundle) < 1400 {
				return fmt.Errorf("the registration has %d bytes of certificates, want those of two operators", len(bundle))
			}
			return nil
		})
		stop()
		must(t, c.Get(t.Context(), key, registered))
		stopOther()
		if err := c.Get(t.Context(), key, registered); !apierrors.IsNotFound(err) {
			t.Errorf("registered without an operator: %v", err)
		}
	})
}

// checkDirect checks the responses to requests that do not come from the API server.
func checkDirect(t *testing.T, namespace, address string) {
	t.Helper()
	anyone := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for name, test := range map[string]struct {
		header map[string]string
		want   int
	}{
		"no token": {nil, http.StatusUnauthorized},
		// An API server without a client certificate would send the same request. The error
		// explains this.
		"forged user":  {map[string]string{"X-Remote-User": "system:admin", "X-Remote-Group": "system:masters"}, http.StatusServiceUnavailable},
		"wrong user":   {map[string]string{"Authorization": "Bearer " + server.Token(t, namespace, "stranger")}, http.StatusForbidden},
		"agent's user": {map[string]string{"Authorization": "Bearer " + server.Token(t, namespace, "sluice-agent")}, http.StatusForbidden},
		"a token for an agent": {map[string]string{
			"Authorization": "Bearer " + server.Token(t, namespace, "sluice-observer", door.Audience("node-a")),
		}, http.StatusUnauthorized},
		"right user": {map[string]string{"Authorization": "Bearer " + server.Token(t, namespace, "sluice-observer")}, http.StatusOK},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+statusOf("node-a"), http.NoBody)
		must(t, err)
		for header, value := range test.header {
			request.Header.Set(header, value)
		}
		response, err := anyone.Do(request)
		must(t, err)
		_ = response.Body.Close()
		if response.StatusCode != test.want {
			t.Errorf("%s: %s, want %d", name, response.Status, test.want)
		}
	}
}
