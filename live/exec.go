package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// These names must agree with the names that the operator uses.
const (
	// SystemNamespace is the namespace in which Sluice is installed by default.
	SystemNamespace = "sluice-system"
	dataplane       = "dataplane"
)

// nodePods selects the pods that run the agent and the dataplane on the nodes.
var nodePods = client.MatchingLabels{"app.kubernetes.io/name": "sluice", "app.kubernetes.io/component": "node"}

// ErrNoPod is returned if no pod of Sluice with a running dataplane exists. Commands can run
// only in such a pod.
var ErrNoPod = errors.New("no running pod of Sluice")

// NodePod is a pod that runs the agent and the dataplane on a node.
type NodePod struct {
	Node, Namespace, Name string
}

// NodePods lists the pods in a namespace that have a running dataplane, sorted by node. If
// the caller specifies nodes, NodePods lists only the pods on these nodes. If one of the
// specified nodes has no such pod, NodePods returns an error.
func (c *Connection) NodePods(ctx context.Context, namespace string, nodes ...string) ([]NodePod, error) {
	var page corev1.PodList
	var found []NodePod
	var waiting []string
	err := c.list(ctx, &page, func() {
		for i := range page.Items {
			p := &page.Items[i]
			switch {
			case len(nodes) > 0 && !slices.Contains(nodes, p.Spec.NodeName):
			case dataplaneRuns(p):
				found = append(found, NodePod{Node: p.Spec.NodeName, Namespace: p.Namespace, Name: p.Name})
			default:
				waiting = append(waiting, p.Name)
			}
		}
	}, client.InNamespace(namespace), nodePods)
	switch {
	case apierrors.IsForbidden(err):
		return nil, &ForbiddenError{Verb: "list", Resources: []string{"pods"}, Namespace: namespace, err: err}
	case err != nil:
		return nil, fmt.Errorf("listing pods of namespace %s: %w", namespace, err)
	}
	slices.SortFunc(found, func(a, b NodePod) int { return strings.Compare(a.Node, b.Node) })
	for _, node := range nodes {
		if !slices.ContainsFunc(found, func(p NodePod) bool { return p.Node == node }) {
			return nil, fmt.Errorf("node %s: %w there in namespace %s%s", node, ErrNoPod, namespace, notRunning(waiting))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w in namespace %s%s", ErrNoPod, namespace, notRunning(waiting))
	}
	return found, nil
}

func notRunning(pods []string) string {
	if len(pods) == 0 {
		return ""
	}
	return "; not running: " + strings.Join(pods, ", ")
}

func dataplaneRuns(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.Name == dataplane && s.State.Running != nil
	})
}

// Run runs a command in the dataplane container of a pod. It returns when the command ends or
// the context is canceled. While the connection to the pod exists, the command's standard
// input stays open. A command that reads its standard input can therefore exit when the
// connection breaks.
func (c *Connection) Run(ctx context.Context, pod NodePod, command []string, stdout, stderr io.Writer) error {
	last := &lastStatus{}
	executor, err := c.executor(pod, command, last)
	if err != nil {
		return err
	}
	stdin, closeStdin := io.Pipe()
	defer closeStdin.Close()
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout, Stderr: stderr})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil && last.code.Load() == http.StatusForbidden:
		// The error names only the verb create, because this right is sufficient. The executor
		// first tries WebSocket, which uses a GET request and also requires the verb get. If
		// this fails, the executor uses SPDY, which uses a POST request and requires only
		// create.
		return &ForbiddenError{Verb: "create", Resources: []string{"pods/exec"}, Namespace: pod.Namespace, err: err}
	case err != nil:
		return fmt.Errorf("running %s in pod %s/%s: %w", strings.Join(command, " "), pod.Namespace, pod.Name, err)
	}
	return nil
}

// lastStatus stores the HTTP status code of the API server's last response, because the
// errors of executors do not contain the status code.
type lastStatus struct{ code atomic.Int64 }

// wrap returns a transport that forwards requests to the transport `next`, and records the
// status codes of the responses in s.
func (s *lastStatus) wrap(next http.RoundTripper) http.RoundTripper {
	return statusRecorder{next: next, last: s}
}

// statusRecorder is an http.RoundTripper that records the status code of each
// response.
type statusRecorder struct {
	next http.RoundTripper
	last *lastStatus
}

// RoundTrip sends a request and records the status code of the response.
func (r statusRecorder) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := r.next.RoundTrip(request)
	if err == nil {
		r.last.code.Store(int64(response.StatusCode))
	}
	return response, err
}

// executor returns an executor that uses WebSocket. If a proxy or the server does not support
// WebSocket, the executor uses SPDY. It records the status code of each response in the
// parameter last.
func (c *Connection) executor(pod NodePod, command []string, last *lastStatus) (remotecommand.Executor, error) {
	config := rest.CopyConfig(c.config)
	config.Wrap(last.wrap)
	core := rest.CopyConfig(config)
	core.GroupVersion = &corev1.SchemeGroupVersion
	core.APIPath = "/api"
	core.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	api, err := rest.RESTClientFor(core)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	url := api.Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: dataplane, Command: command, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	spdy, err := remotecommand.NewSPDYExecutor(config, "POST", url)
	if err != nil {
		return nil, fmt.Errorf("preparing to run a command: %w", err)
	}
	websocket, err := remotecommand.NewWebSocketExecutor(config, "GET", url.String())
	if err != nil {
		return nil, fmt.Errorf("preparing to run a command: %w", err)
	}
	executor, err := remotecommand.NewFallbackExecutor(websocket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return nil, fmt.Errorf("preparing to run a command: %w", err)
	}
	return executor, nil
}
