package operator_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/operator"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
)

// TestMetricsOverHTTPS reads the metrics of an operator that has only the rights of its role. It
// uses a token with the right to read metrics, a token without this right, and no token.
func TestMetricsOverHTTPS(t *testing.T) {
	const namespace = rbac.Namespace
	objects, err := rbac.Operator(namespace)
	must(t, err)
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	must(t, client.IgnoreAlreadyExists(server.Client(t).Create(t.Context(), system)))
	for _, object := range objects {
		must(t, client.IgnoreAlreadyExists(server.Client(t).Create(t.Context(), object)))
	}
	config := rest.AnonymousClientConfig(server.Config())
	config.BearerToken = server.Token(t, namespace, "sluice-operator")
	address := kube.FreeAddress(t)
	startOperator(t, config, operator.Options{Namespace: namespace, MetricsAddress: address})

	reader := server.Token(t, namespace, "reader")
	server.Grant(t, "system:serviceaccount:"+namespace+":reader", rbacv1.PolicyRule{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}})
	anyone := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	get := func(url, token string) (status int, body string, err error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		must(t, err)
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := anyone.Do(request)
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = response.Body.Close() }()
		// An HTTPS server responds to a request without TLS and then closes the connection,
		// which can make the read fail.
		content, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(content), nil
	}
	eventually.True(t, "a token with the right reads the metrics", func() bool {
		status, body, err := get("https://"+address+"/metrics", reader)
		return err == nil && status == http.StatusOK && strings.Contains(body, "\ncontroller_runtime_")
	})
	for name, test := range map[string]struct {
		url, token string
		status     int
	}{
		"a token without the right": {"https://" + address + "/metrics", server.Token(t, namespace, "stranger"), http.StatusForbidden},
		"a token for another server": {
			"https://" + address + "/metrics", server.Token(t, namespace, "reader", "another"), http.StatusUnauthorized,
		},
		"no valid token": {"https://" + address + "/metrics", "invalid", http.StatusUnauthorized},
		"no token":       {"https://" + address + "/metrics", "", http.StatusUnauthorized},
		"no TLS":         {"http://" + address + "/metrics", reader, http.StatusBadRequest},
	} {
		status, body, err := get(test.url, test.token)
		if err != nil || status != test.status || strings.Contains(body, "controller_runtime_") {
			t.Errorf("%s: status %d, %v, want %d: %.200s", name, status, err, test.status, body)
		}
	}
}
