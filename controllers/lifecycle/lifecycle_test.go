package lifecycle_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluicenet/sluice/controllers/lifecycle"
)

// limit is the time within which a process must stop.
const limit = 3 * time.Second

// wait returns the result of a goroutine. The goroutine must end within the time `limit`.
func wait(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		t.Fatalf("still running %s after the context ended", limit)
		return nil
	}
}

// TestManagerStopsWhileCachesDoNotSync checks that a manager that cannot reach its API server
// stops when the manager's context ends.
func TestManagerStopsWhileCachesDoNotSync(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	// Nothing listens on port 9, so the manager cannot connect.
	mgr, err := manager.New(&rest.Config{Host: "https://127.0.0.1:9"}, manager.Options{
		NewCache:       lifecycle.NewCache(ctx),
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mapper, nil },
		Logger:         logr.Discard(),
		Metrics:        metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mgr.GetCache().GetInformer(ctx, &corev1.Pod{}, cache.BlockUntilSynced(false)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	cancel()
	if err := wait(t, done); err != nil {
		t.Errorf("the manager failed: %v", err)
	}
}

// TestRunReturnsWithoutItsManager checks that Run returns even if the function `start` does not
// return.
func TestRunReturnsWithoutItsManager(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- lifecycle.Run(ctx, logr.Discard(), func(context.Context) error { select {} })
	}()
	cancel()
	if err := wait(t, done); err != nil {
		t.Errorf("error %v, want none", err)
	}
}

// TestRunReturnsTheErrorOfStart checks that Run returns the error of the function `start`, both
// before and after the context ends.
func TestRunReturnsTheErrorOfStart(t *testing.T) {
	failed := errors.New("failed")
	start := func(context.Context) error { return failed }
	if err := lifecycle.Run(t.Context(), logr.Discard(), start); !errors.Is(err, failed) {
		t.Errorf("error %v, want %v", err, failed)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := lifecycle.Run(ended, logr.Discard(), start); !errors.Is(err, failed) {
		t.Errorf("error %v after the context ended, want %v", err, failed)
	}
}
