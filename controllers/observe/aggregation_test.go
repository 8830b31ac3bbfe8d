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

// TestWithoutAggregationLayer checks the error message for users of an API server that is not
// configured to forward requests. Such a server forwards requests without a client certificate
// and without the token of the user.
func TestWithoutAggregationLayer(t *testing.T) {
	plain, err := kube.Start(kube.WithoutAggregation)
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
			for _, want := range []string{"--requestheader-client-ca-file", "--proxy-client-cert-file", "aggregation layer", "flow events", "statuses"} {
				if !strings.Contains(err.Error(), want) {
					return fmt.Errorf("GET %s: %w, want %q", path, err, want)
				}
			}
			return nil
		})
	}
}
