package observe_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
)

// TestWithoutAggregationLayer checks the error message that users receive if the API server has
// no flags for the aggregation layer. Such an API server forwards a request without a client
// certificate and without the user's token.
func TestWithoutAggregationLayer(t *testing.T) {
	wantUnavailable(t, kube.WithoutAggregation, "--requestheader-client-ca-file", "--proxy-client-cert-file", "aggregation layer", "flow events", "statuses")
}

// TestWithoutProxyCertificate checks the error message that users receive if the API server
// lacks only the client certificate.
func TestWithoutProxyCertificate(t *testing.T) {
	wantUnavailable(t, kube.WithoutProxyCertificate, "forwards requests without a client certificate", "lacks the flags --proxy-client-cert-file and --proxy-client-key-file")
}

// wantUnavailable starts an API server with the given option. It checks that requests for flow
// events and for node statuses fail, and that the error contains the given words.
func wantUnavailable(t *testing.T, option kube.Option, words ...string) {
	t.Helper()
	plain, err := kube.Start(option)
	must(t, err)
	shared := server
	server = plain
	t.Cleanup(func() {
		server = shared
		must(t, plain.Stop())
	})
	namespace := server.Namespace(t)
	installRoles(t, namespace)
	startOperator(t, namespace)
	enforcer := &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.EnforcerName}}
	must(t, server.Client(t).Create(t.Context(), enforcer))
	t.Cleanup(func() { _ = server.Client(t).Delete(context.WithoutCancel(t.Context()), enforcer) })

	for _, path := range []string{flowsOf("node-a"), statusOf("node-a")} {
		eventually.NoError(t, func() error {
			line, err := raw(t, server.Config(), path)
			if !apierrors.IsServiceUnavailable(err) {
				return fmt.Errorf("GET %s: %q, %w", path, line, err)
			}
			for _, want := range words {
				if !strings.Contains(err.Error(), want) {
					return fmt.Errorf("GET %s: %w, want %q", path, err, want)
				}
			}
			return nil
		})
	}
}
