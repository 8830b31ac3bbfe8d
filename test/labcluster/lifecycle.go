package labcluster

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
)

// StatusDelayAnnotation is an annotation of a Pod. Its value is a time, such as "2s". After the
// kubelet has started the containers of the pod, it waits for this time before it writes the
// pod's addresses to the API server.
const StatusDelayAnnotation = "lab.sluice.dev/status-delay"

// StartDelayAnnotation is an annotation of a Pod. Its value is a time, such as "100ms". After
// the kubelet has written the CNI result of the pod, it waits for this time before it starts
// the first container. A real container runtime needs this time to create the container.
const StartDelayAnnotation = "lab.sluice.dev/start-delay"

// statusRetry is the time between two attempts to write the status of a pod.
const statusRetry = 20 * time.Millisecond

// Command is a function that replaces a program in the containers of the lab. It uses the
// network of the pod. When a container is killed, the context of its command is canceled. When
// the container only receives SIGTERM, the command continues, like a process with ID 1 that
// does not handle signals.
type Command func(ctx context.Context, host *lab.Host, arguments []string) error

// SetCommand sets the function that replaces the command with the given name. If the first word
// of a container's or hook's command is this name, the lab's kubelet calls the function. It
// ignores commands for which no function has been set.
func (c *Cluster) SetCommand(name string, command Command) {
	c.commandsMu.Lock()
	defer c.commandsMu.Unlock()
	if c.commands == nil {
		c.commands = map[string]Command{}
	}
	c.commands[name] = command
}

// command returns a function that runs a command line. The function calls the Command that
// SetCommand has set for the first word of the command line. If there is no such Command, the
// result is nil.
func (c *Cluster) command(line []string) func(context.Context, *lab.Host) error {
	if len(line) == 0 {
		return nil
	}
	c.commandsMu.Lock()
	defer c.commandsMu.Unlock()
	run := c.commands[line[0]]
	if run == nil {
		return nil
	}
	return func(ctx context.Context, host *lab.Host) error { return run(ctx, host, line[1:]) }
}

// live runs the containers of a pod until the pod is removed from the lab.
func (k *kubelet) live(ctx context.Context, r *runningPod) {
	defer r.kill()
	defer context.AfterFunc(ctx, r.kill)()
	var containers sync.WaitGroup
	started := make(chan struct{})
	go func() {
		defer close(started)
		k.start(r, &containers)
	}()
	select {
	case <-r.terminate:
	case <-ctx.Done():
	}
	k.stop(r, started, &containers)
	if ctx.Err() != nil {
		return // Closing the lab removes the pod.
	}
	if err := k.remove(r); err != nil {
		k.cluster.failed(r, err)
		return
	}
	if err := k.deleteObject(ctx, r.object); err != nil && ctx.Err() == nil {
		k.cluster.failed(r, err)
	}
}

// start runs the init containers one after another. Then it starts the containers with their
// postStart hooks, and writes the status of the pod. It returns early if the pod is deleted during
// this time.
func (k *kubelet) start(r *runningPod, containers *sync.WaitGroup) {
	ctx, cancel := context.WithCancel(r.killed)
	defer cancel()
	go func() {
		select {
		case <-r.terminate:
			cancel()
		case <-ctx.Done():
		}
	}()
	if !pause(ctx, r.delay(StartDelayAnnotation)) {
		return
	}
	spec := &r.object.Spec
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		sidecar := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		if sidecar {
			k.startContainer(ctx, r, c, containers, nil)
		} else if run := k.cluster.command(c.Command); run != nil {
			if err := run(ctx, r.host()); err != nil && ctx.Err() == nil {
				k.cluster.failed(r, fmt.Errorf("init container %s: %w", c.Name, err))
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
	var main sync.WaitGroup
	commands := 0
	for i := range spec.Containers {
		if k.startContainer(ctx, r, &spec.Containers[i], containers, &main) {
			commands++
		}
	}
	if !pause(ctx, r.delay(StatusDelayAnnotation)) {
		return
	}
	k.writeStatus(ctx, r, func(pod *corev1.Pod) { setRunning(pod, r) })
	if spec.RestartPolicy == corev1.RestartPolicyAlways || commands < len(spec.Containers) {
		return
	}
	main.Wait()
	k.writeStatus(ctx, r, func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodSucceeded })
}

// startContainer starts the function that SetCommand has set for the container's command, and a
// server for each port. Then it runs the postStart hook. If the `main` parameter is not nil,
// startContainer adds the running command to this WaitGroup. The result is false if SetCommand
// has set no function.
func (k *kubelet) startContainer(ctx context.Context, r *runningPod, c *corev1.Container, containers, main *sync.WaitGroup) (hasCommand bool) {
	run := k.cluster.command(c.Command)
	if run != nil {
		if main != nil {
			main.Add(1)
		}
		containers.Go(func() {
			if main != nil {
				defer main.Done()
			}
			if err := run(r.killed, r.host()); err != nil && r.killed.Err() == nil {
				k.cluster.failed(r, fmt.Errorf("container %s: %w", c.Name, err))
			}
		})
	}
	if err := r.serve(c); err != nil && ctx.Err() == nil {
		k.cluster.failed(r, fmt.Errorf("container %s: %w", c.Name, err))
	}
	if c.Lifecycle != nil {
		k.hook(ctx, r, c.Name, c.Lifecycle.PostStart)
	}
	return run != nil
}

// serve starts a server on each port on which a container listens.
func (r *runningPod) serve(c *corev1.Container) error {
	ports, err := r.node.cluster.options.Ports(c)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, port := range ports {
		protocol, err := flow.ParseProtocol(string(port.Protocol))
		if err != nil {
			return err
		}
		for _, address := range r.host().Addresses() {
			server, err := r.host().Serve(protocol, netip.AddrPortFrom(address, uint16(port.ContainerPort)))
			if err != nil {
				return err
			}
			r.servers = append(r.servers, server)
		}
	}
	return nil
}

// delay returns the duration in an annotation of the pod. Without a valid annotation, it
// returns 0.
func (r *runningPod) delay(annotation string) time.Duration {
	d, err := time.ParseDuration(r.object.Annotations[annotation])
	if err != nil {
		return 0
	}
	return d
}

// hook runs a lifecycle handler of type exec or sleep.
func (k *kubelet) hook(ctx context.Context, r *runningPod, container string, handler *corev1.LifecycleHandler) {
	switch {
	case handler == nil:
	case handler.Sleep != nil:
		pause(ctx, time.Duration(handler.Sleep.Seconds)*time.Second)
	case handler.Exec != nil:
		run := k.cluster.command(handler.Exec.Command)
		if run == nil {
			return
		}
		if err := run(ctx, r.host()); err != nil && ctx.Err() == nil {
			k.cluster.failed(r, fmt.Errorf("hook of container %s: %w", container, err))
		}
	}
}

// stop runs the preStop hooks and stops the servers. Then it waits until all commands have
// ended or have been killed.
func (k *kubelet) stop(r *runningPod, started <-chan struct{}, containers *sync.WaitGroup) {
	<-started
	var hooks sync.WaitGroup
	for i := range r.object.Spec.Containers {
		if c := &r.object.Spec.Containers[i]; c.Lifecycle != nil {
			hooks.Go(func() { k.hook(r.killed, r, c.Name, c.Lifecycle.PreStop) })
		}
	}
	hooks.Wait()
	r.mu.Lock()
	for _, s := range r.servers {
		s.Close()
	}
	r.mu.Unlock()
	containers.Wait()
}

// pause waits for a duration. It returns false if the context ends before the duration has passed.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// writeStatus changes the status of a Pod object. It tries again until the write succeeds, the
// object no longer exists, or the context ends.
func (k *kubelet) writeStatus(ctx context.Context, r *runningPod, change func(*corev1.Pod)) {
	for {
		var pod corev1.Pod
		err := k.cluster.client.Get(ctx, client.ObjectKeyFromObject(r.object), &pod)
		if err == nil && pod.UID == r.uid() {
			change(&pod)
			err = k.cluster.client.Status().Update(ctx, &pod)
		}
		if err == nil || apierrors.IsNotFound(err) || !pause(ctx, statusRetry) {
			return
		}
	}
}

// remove removes a pod from the lab. It removes the link and the addresses of the pod first,
// and then its CNI result. libcni uses the same order for CNI DEL.
func (k *kubelet) remove(r *runningPod) error {
	if r.pod != nil {
		r.node.podsMu.Lock()
		err := r.node.host.RemovePod(r.pod)
		r.node.podsMu.Unlock()
		if err != nil {
			return err
		}
	}
	if r.cniResult != "" {
		if err := os.Remove(r.cniResult); err != nil {
			return fmt.Errorf("removing the CNI result: %w", err)
		}
	}
	k.cluster.pods.remove(r)
	return nil
}

// deleteObject deletes the Pod object of a pod that has ended. If no client has requested the
// deletion, deleteObject does nothing.
func (k *kubelet) deleteObject(ctx context.Context, object *corev1.Pod) error {
	var pod corev1.Pod
	if err := k.cluster.client.Get(ctx, client.ObjectKeyFromObject(object), &pod); err != nil {
		return client.IgnoreNotFound(err)
	}
	if pod.UID != object.UID || pod.DeletionTimestamp == nil {
		return nil
	}
	err := k.cluster.client.Delete(ctx, &pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting the pod: %w", err)
	}
	return nil
}
