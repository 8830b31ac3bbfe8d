package labcluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/labcluster"
)

// record contains the steps in the life of a pod in the order in which they happened.
type record struct {
	mu    sync.Mutex
	steps []string
}

func (r *record) add(step string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, step)
}

func (r *record) has(steps ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.steps, steps) {
		return fmt.Errorf("steps %q, want %q", r.steps, steps)
	}
	return nil
}

// The function `recorded` returns a pod. Its containers and hooks add their steps to a record.
func recorded(name string, grace int64) *corev1.Pod {
	always := corev1.ContainerRestartPolicyAlways
	pod := newPod(name)
	pod.Spec.TerminationGracePeriodSeconds = &grace
	pod.Spec.InitContainers = []corev1.Container{
		{Name: "init", Image: "lab", Command: []string{"step", "init"}},
		{Name: "sidecar", Image: "lab", Command: []string{"forever", "sidecar"}, RestartPolicy: &always},
	}
	main := &pod.Spec.Containers[0]
	main.Command = []string{"forever", "main"}
	main.Lifecycle = &corev1.Lifecycle{
		PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"step", "postStart"}}},
		PreStop:   &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"step", "preStop"}}},
	}
	return pod
}

// TestPodLifecycle checks the order in which the lab's kubelet starts a pod: it adds the pod to
// the network, writes the CNI result, runs the containers and hooks, and writes the status. The
// test also checks the order in which the kubelet stops the pod.
func TestPodLifecycle(t *testing.T) {
	ctx := t.Context()
	c, err := labcluster.New(ctx, labcluster.Options{Program: sluice, Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	node := c.Node(0)
	var r record
	key := client.ObjectKey{Namespace: "default", Name: "web"}
	c.SetCommand("step", func(_ context.Context, host *lab.Host, words []string) error {
		files, err := os.ReadDir(node.CNIResults())
		var pod corev1.Pod
		if words[0] == "postStart" || words[0] == "init" {
			err = errors.Join(err, c.Client().Get(ctx, key, &pod))
			if len(files) == 0 || len(pod.Status.PodIPs) > 0 || len(host.Addresses()) == 0 {
				r.add(fmt.Sprintf("%d CNI results, the API server has %v", len(files), pod.Status.PodIPs))
			}
		}
		r.add(words[0])
		return err
	})
	c.SetCommand("forever", func(running context.Context, _ *lab.Host, words []string) error {
		r.add(words[0])
		<-running.Done()
		return nil
	})
	results := func(want int) error {
		files, err := os.ReadDir(node.CNIResults())
		if err == nil && len(files) != want {
			err = fmt.Errorf("%d CNI results, want %d", len(files), want)
		}
		published, errRead := statedir.ReadSandboxes(node.StateDir())
		if errRead == nil && (len(published.Sandboxes) != want || !published.Available) {
			errRead = fmt.Errorf("the dataplane publishes %+v, want %d", published, want)
		}
		return errors.Join(err, errRead)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pod := recorded("web", 2)
	pod.Annotations = map[string]string{labcluster.StartDelayAnnotation: "100ms", labcluster.StatusDelayAnnotation: "200ms"}
	must(c.Client().Create(ctx, pod))
	must(c.WaitRunning(ctx, "default"))
	steps := []string{"init", "sidecar", "main", "postStart"}
	r.mu.Lock()
	slices.SortFunc(r.steps[1:min(3, len(r.steps))], strings.Compare) // These steps happen at the same time, in any order.
	slices.Reverse(r.steps[1:min(3, len(r.steps))])
	r.mu.Unlock()
	must(r.has(steps...))
	eventually.NoError(t, func() error { return results(1) })
	published, err := statedir.ReadSandboxes(node.StateDir())
	must(err)
	running := c.Pod("default", "web")
	if got := published.Sandboxes[0]; got.UID != string(pod.UID) || got.HostInterface != running.Interface || !slices.Equal(got.Addresses, running.Addresses()) {
		t.Errorf("the dataplane publishes %+v, want UID %s, interface %s and addresses %v", got, pod.UID, running.Interface, running.Addresses())
	}

	// The containers ignore SIGTERM, so they run until the end of the grace period. Until then,
	// the Pod object and the CNI result still exist.
	must(c.Client().Delete(ctx, pod))
	eventually.NoError(t, func() error { return r.has(append(steps, "preStop")...) })
	must(results(1))
	must(c.Client().Get(ctx, key, pod))
	must(c.WaitGone(ctx, pod))
	eventually.NoError(t, func() error { return results(0) })

	// When the Pod object is deleted by force during the grace period, it is gone at once. The
	// containers run until the end of the grace period. During this time, a new pod with the
	// same name can run, too.
	r.steps = nil
	pod = recorded("web", 4)
	must(c.Client().Create(ctx, pod))
	must(c.WaitRunning(ctx, "default"))
	must(c.Client().Delete(ctx, pod))
	deleted := time.Now()
	eventually.NoError(t, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !slices.Contains(r.steps, "preStop") {
			return errors.New("no preStop hook")
		}
		return nil
	})
	old := c.Pod("default", "web")
	must(c.Client().Delete(ctx, pod, client.GracePeriodSeconds(0)))
	if err := c.Client().Get(ctx, key, &corev1.Pod{}); !apierrors.IsNotFound(err) {
		t.Errorf("the object still exists: %v", err)
	}
	must(c.Client().Create(ctx, newPod("web")))
	must(c.WaitRunning(ctx, "default"))
	if now := c.Pod("default", "web"); now == nil || now == old {
		t.Error("the new pod does not run next to the old one")
	}
	if time.Since(deleted) < 2*time.Second {
		eventually.NoError(t, func() error { return results(2) })
	}
	eventually.NoError(t, func() error { return results(1) })
	if ran := time.Since(deleted); ran < 2*time.Second {
		t.Errorf("the containers ended after %v, want about 4 s", ran)
	}

	// Create a pod without a CNI result. Its container ends without being stopped, like the
	// container of a job.
	job := newPod("job")
	job.Annotations = map[string]string{labcluster.CNIResultAnnotation: "none"}
	job.Spec.RestartPolicy = corev1.RestartPolicyNever
	job.Spec.Containers[0].Command = []string{"step", "job"}
	must(c.Client().Create(ctx, job))
	eventually.NoError(t, func() error {
		if err := c.Client().Get(ctx, client.ObjectKeyFromObject(job), job); err != nil {
			return err
		}
		if job.Status.Phase != corev1.PodSucceeded || c.Pod("default", "job") != nil {
			return fmt.Errorf("phase %s, want that the job has ended", job.Status.Phase)
		}
		return results(1)
	})
}
