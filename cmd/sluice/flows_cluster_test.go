package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/live"
)

// kubelet implements the kubelet endpoint for `kubectl exec`. The API server sends a command
// to this endpoint. The kubelet then runs this test binary as sluice with the arguments of
// the command.
type kubelet struct {
	t        *testing.T
	stateDir string
	running  sync.WaitGroup

	mu       sync.Mutex
	commands []string
}

// newKubelet creates a node with a running pod of Sluice, and starts a kubelet for this node.
func newKubelet(t *testing.T, node, stateDir string) *kubelet {
	t.Helper()
	k := &kubelet{t: t, stateDir: stateDir}
	s := httptest.NewTLSServer(k)
	t.Cleanup(s.Close)
	c := server.Client(t)
	address := netip.MustParseAddrPort(s.Listener.Addr().String())
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	create(t, c, n)
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address.Addr().String()}}
	n.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(address.Port())
	updateStatus(t, c, n)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: live.SystemNamespace, Name: "sluice-" + node,
			Labels: map[string]string{"app.kubernetes.io/name": "sluice", "app.kubernetes.io/component": "node"},
		},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "agent", Image: "sluice"}, {Name: "dataplane", Image: "sluice"}}},
	}
	create(t, c, pod)
	pod.Status.Phase = corev1.PodRunning
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "dataplane", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	updateStatus(t, c, pod)
	return k
}

// ServeHTTP handles requests to /exec/NAMESPACE/POD/CONTAINER?command=... as the
// real kubelet does.
func (k *kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(r.URL.Path, "/")
	options, err := remotecommand.NewOptions(r)
	if err != nil || len(path) != 5 || path[1] != "exec" {
		http.Error(w, fmt.Sprintf("%s: %v", r.URL, err), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, k, path[3], "", path[4], r.URL.Query()["command"], options,
		time.Minute, time.Minute, remotecommand.SupportedStreamingProtocols)
}

// ExecInContainer runs this test binary as sluice with the arguments of the
// command.
func (k *kubelet) ExecInContainer(_ context.Context, _, _, container string, command []string, stdin io.Reader, stdout, stderr io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration) error {
	k.running.Add(1)
	defer k.running.Done()
	k.mu.Lock()
	k.commands = append(k.commands, container+" "+strings.Join(command, " "))
	k.mu.Unlock()
	cmd := program(append(command[1:], "--state-dir", k.stateDir)...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(input, stdin) // Copy returns when the connection ends.
		_ = input.Close()
	}()
	return cmd.Wait()
}

func TestFlowsOfCluster(t *testing.T) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: live.SystemNamespace}}
	if err := client.IgnoreAlreadyExists(server.Client(t).Create(t.Context(), namespace)); err != nil {
		t.Fatal(err)
	}
	n := newOnNode(t)
	n.dataplane("--deny", "Reject")
	n.publish()
	n.status("generation 1", func(s *report.Status) bool { return s.Generation == 1 })
	kubelets := []*kubelet{newKubelet(t, "node-a", n.stateDir), newKubelet(t, "node-b", n.stateDir)}
	kubeconfig := kubeconfigOf(t, server.Config(), "")

	follow := func(listeners int, args ...string) (stdout *bufio.Scanner, end func(os.Signal)) {
		t.Helper()
		cmd := program(append([]string{"flows", "--kubeconfig", kubeconfig}, args...)...)
		cmd.Args[0] = "kubectl-sluice"
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		notes, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(notes)
		for range listeners {
			if !lines.Scan() || !strings.HasSuffix(lines.Text(), "  listening; Ctrl-C ends it") {
				t.Fatalf("flows prints %q", lines.Text())
			}
		}
		return bufio.NewScanner(out), func(signal os.Signal) {
			t.Helper()
			if signal != nil {
				_ = cmd.Process.Signal(signal)
			}
			if err := cmd.Wait(); err != nil && signal != os.Kill {
				t.Errorf("flows: %v", err)
			}
			// Wait until no process is running in a pod. The processes must end even if the
			// caller was killed.
			for _, k := range kubelets {
				k.running.Wait()
			}
		}
	}
	deny := func() {
		t.Helper()
		n.connect("10.0.0.1", 80)
	}

	t.Run("all nodes", func(t *testing.T) {
		lines, end := follow(2, "--denied", "-n", "default")
		deny()
		var nodes []string
		for range 2 {
			if !lines.Scan() || !strings.HasSuffix(lines.Text(), "no rule of default/db allows it") {
				t.Fatalf("shown %q, %v", lines.Text(), lines.Err())
			}
			node, _, _ := strings.Cut(lines.Text(), " ")
			nodes = append(nodes, node)
		}
		if slices.Sort(nodes); !slices.Equal(nodes, []string{"node-a", "node-b"}) {
			t.Errorf("lines of %v", nodes)
		}
		end(os.Interrupt)
	})
	t.Run("one node, JSON, a count", func(t *testing.T) {
		lines, end := follow(1, "--node", "node-b", "-o", "json", "-c", "1")
		deny()
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"node":"node-b","time":"`) {
			t.Errorf("shown %q", lines.Text())
		}
		end(nil)
	})
	t.Run("killed", func(*testing.T) {
		_, end := follow(2)
		end(os.Kill)
	})
	t.Run("a namespace without flows", func(t *testing.T) {
		lines, end := follow(1, "--node", "node-a", "-n", "elsewhere", "-c", "1")
		deny()
		end(os.Interrupt)
		if lines.Scan() {
			t.Errorf("shown %q", lines.Text())
		}
	})
	t.Run("by a user with only the suggested rights", func(t *testing.T) {
		kubeconfig := kubeconfigOf(t, server.User(t, "watcher"), "")
		run := func() string {
			cmd := program("flows", "--kubeconfig", kubeconfig, "--node", "node-a", "-c", "1", "-n", "elsewhere")
			return forbidden(t, cmd)
		}
		for _, missing := range []string{"list pods", "create pods/exec"} {
			message := run()
			if !strings.Contains(message, "you may not "+missing+" in namespace "+live.SystemNamespace) {
				t.Fatalf("flows prints %q, want it to need %s", message, missing)
			}
			grant(t, server.Client(t), "watcher", message)
		}
		if message := run(); message != "" {
			t.Errorf("with both rights flows prints %q", message)
		}
	})
	const command = "dataplane /sluice flows --end-with-stdin --output "
	want := []string{
		command + "text --denied --namespace default", command + "text",
		command + "text --namespace elsewhere --count 1", command + "text --namespace elsewhere --count 1",
	}
	if diff := cmp.Diff(want, kubelets[0].commands); diff != "" {
		t.Errorf("run on node-a (-want +got):\n%s", diff)
	}
	want = []string{command + "text --denied --namespace default", command + "json --count 1", command + "text"}
	if diff := cmp.Diff(want, kubelets[1].commands); diff != "" {
		t.Errorf("run on node-b (-want +got):\n%s", diff)
	}
}

// forbidden runs `sluice flows` until it listens for flows or fails. If it fails, forbidden
// returns the error message. Otherwise, forbidden returns "".
func forbidden(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	notes, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for lines := bufio.NewScanner(notes); lines.Scan(); {
		if strings.HasSuffix(lines.Text(), "listening; Ctrl-C ends it") {
			_ = cmd.Process.Signal(os.Interrupt)
			said.Reset()
			break
		}
		said.WriteString(lines.Text() + "\n")
	}
	_ = cmd.Wait() // The error message is in the output.
	return said.String()
}

// suggested matches a command for creating a Role in an error message.
var suggested = regexp.MustCompile(`kubectl create (\S+) (\S+) --verb=(\S+) --resource=(\S+) --namespace=(\S+)\n`)

// grant creates the Role that an error message suggests, and binds the Role to a user.
func grant(t *testing.T, c client.Client, user, message string) {
	t.Helper()
	found := suggested.FindAllStringSubmatch(message, -1)
	if len(found) != 1 || found[0][1] != "role" {
		t.Fatalf("suggested %q, want one Role", found)
	}
	meta := metav1.ObjectMeta{Namespace: found[0][5], Name: found[0][2]}
	create(t, c,
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Verbs: []string{found[0][3]}, Resources: []string{found[0][4]}}}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		})
}
