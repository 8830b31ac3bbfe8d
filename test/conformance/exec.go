package conformance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/utils/exec"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/test/agnhost"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/labcluster"
)

// idleTimeout is the time after which an exec connection without traffic is closed.
const idleTimeout = time.Minute

// Executor returns an HTTP handler that serves the exec subresource of a cluster's pods. It uses
// the same protocol as an API server. The only supported command is `/agnhost connect`.
func Executor(cluster *labcluster.Cluster) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/namespaces/{namespace}/pods/{pod}/exec", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		key := client.ObjectKey{Namespace: r.PathValue("namespace"), Name: r.PathValue("pod")}
		host, err := containerHost(r.Context(), cluster, key, query.Get("container"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		options := &remotecommand.Options{Stdout: true, Stderr: true}
		remotecommand.ServeExec(w, r, container{host}, key.String(), "", query.Get("container"), query["command"],
			options, idleTimeout, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
	})
	return mux
}

// containerHost returns the host in the lab in which a container of a pod runs.
func containerHost(ctx context.Context, cluster *labcluster.Cluster, key client.ObjectKey, name string) (*lab.Host, error) {
	var pod corev1.Pod
	if err := cluster.Client().Get(ctx, key, &pod); err != nil {
		return nil, fmt.Errorf("getting pod %s: %w", key, err)
	}
	if !slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == name }) {
		return nil, fmt.Errorf("pod %s has no container %q", key, name)
	}
	end, err := cluster.End(key.Namespace, key.Name)
	return end.Host, err
}

// container executes commands on a host of the lab.
type container struct{ host *lab.Host }

// ExecInContainer runs `agnhost connect`. If the exit code is not 0, it returns an
// exec.CodeExitError.
func (c container) ExecInContainer(ctx context.Context, _, _, _ string, command []string, _ io.Reader, _, stderr io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration) error {
	if len(command) < 2 || command[0] != "/agnhost" || command[1] != "connect" {
		return fmt.Errorf("command %q is not supported", command)
	}
	if code := agnhost.Connect(ctx, c.host, command[2:], stderr); code != 0 {
		return exec.CodeExitError{Err: fmt.Errorf("%q ended with code %d", command, code), Code: code}
	}
	return nil
}
