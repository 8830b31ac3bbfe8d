package endpoint_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/access"
	"github.com/sluicenet/sluice/controllers/certificate"
	"github.com/sluicenet/sluice/controllers/node/endpoint"
	"github.com/sluicenet/sluice/controllers/observe/door"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/test/eventually"
)

// fixture contains the endpoint of an agent, and a dataplane that reports one flow. The
// agent has the rights of the role that Sluice installs.
type fixture struct {
	t        *testing.T
	endpoint *endpoint.Endpoint
	client   *http.Client
}

func newFixture(t *testing.T, node string) *fixture {
	t.Helper()
	f := start(t, &endpoint.Endpoint{Address: "127.0.0.1:0", Node: node, Reviewer: reviewer(t)})
	eventually.True(t, "the endpoint listens", func() bool { return f.endpoint.Published() != nil })
	f.client = &http.Client{Transport: &http.Transport{TLSClientConfig: certificate.Pinned(f.endpoint.Published().CertificateSHA256)}}
	return f
}

// start starts an endpoint and the dataplane of its node.
func start(t *testing.T, e *endpoint.Endpoint) *fixture {
	t.Helper()
	f := &fixture{t: t, client: http.DefaultClient, endpoint: e}
	e.StateDir, e.Log, e.Metrics = t.TempDir(), logr.Discard(), text("metrics of the agent")
	dataplane, err := status.Serve(f.endpoint.StateDir, status.Source{
		Status: func() (report.Status, error) { return report.Status{Generation: 7}, nil },
		Events: func(bool) (<-chan report.Event, func()) {
			events := make(chan report.Event, 1)
			events <- report.Event{SrcPod: "shop/web"}
			return events, func() {}
		},
		Metrics: text("metrics of the dataplane"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.endpoint.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = dataplane.Close()
	})
	return f
}

func text(content string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, content) })
}

// reviewer returns a reviewer with the rights of an agent.
func reviewer(t *testing.T) *access.Reviewer {
	t.Helper()
	objects, err := rbac.Agent(rbac.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	namespace := server.Namespace(t)
	for _, object := range objects {
		if object.GetKind() == "ClusterRole" && object.GetName() == "sluice-agent" {
			role := &rbacv1.ClusterRole{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, role); err != nil {
				t.Fatal(err)
			}
			server.Grant(t, "system:serviceaccount:"+namespace+":agent", role.Rules...)
		}
	}
	config := rest.AnonymousClientConfig(server.Config())
	config.BearerToken = server.Token(t, namespace, "agent")
	r, err := access.NewReviewer(config)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// get requests a path and returns the status code and the first line of the response.
func (f *fixture) get(path, token string) (int, string) {
	f.t.Helper()
	request, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d%s", f.endpoint.Published().Port, path), http.NoBody)
	if err != nil {
		f.t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := f.client.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		f.t.Fatal(err)
	}
	return response.StatusCode, line
}

// want requests a path until the response has the given status code and contains the given text.
func (f *fixture) want(path, token string, code int, content string) {
	f.t.Helper()
	eventually.NoError(f.t, func() error {
		if got, line := f.get(path, token); got != code || !strings.Contains(line, content) {
			return fmt.Errorf("GET %s: %d %s, want %d %s", path, got, line, code, content)
		}
		return nil
	})
}

// TestAccess checks which users can read which paths of a node's endpoint.
func TestAccess(t *testing.T) {
	f := newFixture(t, "node-a")
	namespace := server.Namespace(t)
	user := func(account string) string { return "system:serviceaccount:" + namespace + ":" + account }
	prometheus := server.Token(t, namespace, "prometheus")
	stranger := server.Token(t, namespace, "stranger")
	everything := []string{"/metrics", "/metrics/dataplane", door.StatusPath, door.FlowsPath}
	for _, path := range everything {
		f.want(path, "", http.StatusUnauthorized, "contains no bearer token")
		f.want(path, "made.up.token", http.StatusUnauthorized, "not valid here")
	}
	f.want("/metrics", stranger, http.StatusForbidden, `user \"`+user("stranger")+`\" needs the right to get /metrics`)
	server.Grant(t, user("prometheus"), rbacv1.PolicyRule{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}})
	f.want("/metrics", prometheus, http.StatusOK, "metrics of the agent")
	f.want("/metrics/dataplane", prometheus, http.StatusOK, "metrics of the dataplane")

	server.Grant(t, user("reader"), rbacv1.PolicyRule{APIGroups: []string{door.Group}, Resources: []string{door.Flows}, Verbs: []string{"watch"}})
	own := server.Token(t, namespace, "reader", door.Audience("node-a"))
	f.want(door.FlowsPath, own, http.StatusOK, `"srcPod":"shop/web"`)
	f.want(door.StatusPath, own, http.StatusForbidden, `needs the right to get nodestatuses \"node-a\" of the API group \"observe.policy.sluice.dev\"`)
	// The endpoint must reject tokens for another node or for the API server. Otherwise, an
	// attacker who controls one node could use the tokens that this node receives.
	for audience, token := range map[string]string{
		"another node":   server.Token(t, namespace, "reader", door.Audience("node-b")),
		"the API server": server.Token(t, namespace, "reader"),
	} {
		t.Logf("with a token for %s", audience)
		f.want(door.FlowsPath, token, http.StatusUnauthorized, "not valid here")
	}
	f.want("/metrics", own, http.StatusUnauthorized, "not valid here")
	config := rest.AnonymousClientConfig(server.Config())
	config.BearerToken = own
	if err := server.ClientFor(t, config).List(t.Context(), &corev1.PodList{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("using a token for an agent at the API server: %v, want Unauthorized", err)
	}
}

// TestOnlyOneNode checks that a user who may read the flows and the status of one node cannot read
// those of another node.
func TestOnlyOneNode(t *testing.T) {
	namespace := server.Namespace(t)
	server.Grant(t, "system:serviceaccount:"+namespace+":reader", rbacv1.PolicyRule{
		APIGroups: []string{door.Group}, Resources: []string{door.Flows, door.Statuses}, ResourceNames: []string{"node-a"}, Verbs: []string{"get", "watch"},
	})
	a, b := newFixture(t, "node-a"), newFixture(t, "node-b")
	a.want(door.StatusPath, server.Token(t, namespace, "reader", door.Audience("node-a")), http.StatusOK, `"generation":7`)
	for _, path := range []string{door.StatusPath, door.FlowsPath} {
		b.want(path, server.Token(t, namespace, "reader", door.Audience("node-b")), http.StatusForbidden, `node-b`)
	}
}

// TestOtherCertificate checks that a client that pins the certificate does not send its token
// to another server.
func TestOtherCertificate(t *testing.T) {
	f := newFixture(t, "node-a")
	f.client = &http.Client{Transport: &http.Transport{TLSClientConfig: certificate.Pinned(strings.Repeat("0", 64))}}
	response, err := f.client.Get(fmt.Sprintf("https://127.0.0.1:%d/metrics", f.endpoint.Published().Port))
	if err == nil {
		err = response.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), certificate.ErrOtherCertificate.Error()) {
		t.Errorf("connecting to another certificate: %v", err)
	}
}

// TestLocalhost checks that a plain endpoint serves metrics without a token, and nothing else.
func TestLocalhost(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	f := start(t, &endpoint.Endpoint{Address: address, Plain: true})
	// The endpoint waits until the address is free.
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for path, code := range map[string]int{
		"/metrics": http.StatusOK, "/metrics/dataplane": http.StatusOK,
		door.StatusPath: http.StatusNotFound, door.FlowsPath: http.StatusNotFound,
	} {
		eventually.NoError(t, func() error {
			response, err := f.client.Get("http://" + address + path)
			if err != nil {
				return err
			}
			defer func() { _ = response.Body.Close() }()
			if response.StatusCode != code {
				return fmt.Errorf("GET %s: %s, want %d", path, response.Status, code)
			}
			return nil
		})
	}
	if got := f.endpoint.Published(); got != nil {
		t.Errorf("publishes %+v", got)
	}
}
