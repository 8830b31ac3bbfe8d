package operator_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/sluicenet/sluice/controllers/node"
	"github.com/sluicenet/sluice/controllers/operator"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// These times are in the same proportion as in a real cluster, where an agent renews its Lease
// every 12 s and counts as silent after 60 s without a renewal.
const (
	renewInterval  = time.Second
	silenceTimeout = 5 * renewInterval
)

// writes records the requests with which clients change objects. It ignores Leases and Events.
// It also ignores server-side apply: an operator applies each of its own objects once at
// startup, and the API server stores nothing if the object is unchanged.
type writes struct {
	mu sync.Mutex
	// paths contains the method and the path of each request to which the API server responded
	// with success.
	paths []string
}

func (w *writes) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		path := request.URL.Path
		ignored := request.Method == http.MethodGet || strings.Contains(path, "/leases") || strings.HasSuffix(path, "/events") ||
			request.Header.Get("Content-Type") == string(types.ApplyYAMLPatchType)
		if err == nil && response.StatusCode < http.StatusBadRequest && !ignored {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.paths = append(w.paths, request.Method+" "+path)
		}
		return response, err
	})
}

// take returns the recorded requests and forgets them.
func (w *writes) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.paths
	w.paths = nil
	return out
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// process is a running operator.
type process struct {
	writes writes
	stop   func()
}

// startOperator runs an operator until the test ends or the function `stop` is called. If the
// operator ends with an error, it starts again after a second, as in a pod. An operator cannot
// start while the API server does not serve the CRDs yet.
func startOperator(t *testing.T, config *rest.Config, o operator.Options) *process {
	t.Helper()
	p := &process{}
	config = rest.CopyConfig(config)
	config.Wrap(p.writes.wrap)
	o.Image, o.HealthAddress = "registry.example/sluice:test", "0"
	o.Log = funcr.New(func(prefix, args string) {
		if testing.Verbose() {
			fmt.Fprintln(os.Stderr, prefix, args)
		}
	}, funcr.Options{LogTimestamp: true, Verbosity: 1})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			o.Registry = prometheus.NewRegistry()
			if err := operator.Run(ctx, config, o); err != nil {
				o.Log.Error(err, "The operator ended")
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
	p.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(p.stop)
	return p
}

// startAgent starts an agent and a status socket. The socket stands in for a dataplane that
// acknowledges each published tree.
func startAgent(t *testing.T, config *rest.Config, w *writes, namespace, name string) {
	t.Helper()
	config = rest.CopyConfig(config)
	config.Wrap(w.wrap)
	stateDir := t.TempDir()
	dataplane, err := status.Serve(stateDir, status.Source{Status: func() (report.Status, error) {
		out := report.Status{TreeFormats: tree.Formats(), Queueing: string(ruleset.QueueExpression)}
		// Before the first publication, there is no tree.
		if current, err := tree.Open(statedir.Current(stateDir)); err == nil {
			defer current.Close()
			out.Generation = current.Generation()
		}
		return out, nil
	}})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- node.Run(ctx, config, node.Options{
			Node: name, Namespace: namespace, StateDir: stateDir, RenewInterval: renewInterval,
			MetricsAddress: "0", HealthAddress: "0", Log: logr.Discard(), Registry: prometheus.NewRegistry(),
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("agent: %v", err)
		}
		must(t, dataplane.Close())
	})
}
