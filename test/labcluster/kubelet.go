package labcluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/test/lab"
)

// AddressAnnotation is an annotation of a Pod that sets the addresses of the pod. The value is
// one address, or an IPv4 address and an IPv6 address, separated by a comma. These addresses
// need not be in the pod ranges of the node. A pod without the annotation gets the next free
// addresses in the pod ranges.
const AddressAnnotation = "lab.sluice.dev/addresses"

// addressRetry is the time between two attempts to start a pod while another pod still uses its
// address.
const addressRetry = 5 * time.Millisecond

// forcedGrace is the grace period of a pod whose object was deleted by force. A kubelet uses
// the same grace period.
const forcedGrace = time.Second

// kubelet replaces the scheduler of the cluster and the kubelets of all nodes.
type kubelet struct {
	cluster *Cluster
	client  client.Client
	turn    atomic.Uint64
}

// Reconcile starts or stops a pod in the lab so that the pod matches the Pod object.
func (k *kubelet) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	var pod corev1.Pod
	if err := client.IgnoreNotFound(k.client.Get(ctx, r.NamespacedName, &pod)); err != nil {
		return reconcile.Result{}, err
	}
	// If the Pod object does not exist, pod.UID is empty, so it differs from the UID of
	// every running pod.
	for _, running := range k.cluster.pods.named(r.NamespacedName) {
		switch {
		case running.uid() == pod.UID && finished(&pod):
			running.end(time.Now())
		case running.uid() != pod.UID && !running.isTerminating():
			// The object was deleted by force. If the pod was already terminating, its grace
			// period does not change.
			running.end(time.Now().Add(forcedGrace))
		}
	}
	running := k.cluster.pods.get(pod.UID)
	switch {
	case pod.UID == "" || pod.Spec.SchedulerName == NoScheduler:
		return reconcile.Result{}, nil
	case pod.DeletionTimestamp != nil && running != nil:
		// The kubelet deletes the object after the pod has ended. If the grace period is 0, the
		// object is being deleted by force, and the API server removes it immediately.
		if *pod.DeletionGracePeriodSeconds > 0 {
			running.end(pod.DeletionTimestamp.Time)
		} else if !running.isTerminating() {
			running.end(time.Now().Add(forcedGrace))
		}
		return reconcile.Result{}, nil
	case pod.DeletionTimestamp != nil:
		return reconcile.Result{}, k.deleteObject(ctx, &pod)
	case finished(&pod) || running != nil:
		return reconcile.Result{}, nil
	case pod.Spec.NodeName == "":
		return reconcile.Result{}, k.bind(ctx, &pod)
	}
	return k.run(&pod)
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// bind assigns a pod to the next node. It uses the nodes in turn.
func (k *kubelet) bind(ctx context.Context, pod *corev1.Pod) error {
	node := k.cluster.nodes[int(k.turn.Add(1)-1)%len(k.cluster.nodes)]
	binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node.Name()}}
	if err := client.IgnoreNotFound(k.client.SubResource("binding").Create(ctx, pod, binding)); err != nil {
		return fmt.Errorf("binding to %s: %w", node.Name(), err)
	}
	return nil
}

// run starts the pod on its node in the lab.
func (k *kubelet) run(pod *corev1.Pod) (reconcile.Result, error) {
	node := k.cluster.node(pod.Spec.NodeName)
	if node == nil {
		return reconcile.Result{}, nil // Ignore the pod, because its node does not belong to the lab.
	}
	addresses, err := wantedAddresses(pod)
	if err != nil {
		return reconcile.Result{}, reconcile.TerminalError(err)
	}
	if k.cluster.taken(addresses) {
		return reconcile.Result{RequeueAfter: addressRetry}, nil
	}
	running, err := node.place(pod, addresses)
	if err != nil {
		return reconcile.Result{}, err
	}
	k.cluster.pods.add(running)
	k.cluster.ended.Go(func() { k.live(k.cluster.running, running) })
	return reconcile.Result{}, nil
}

// place creates the network namespace and the CNI result of a pod.
func (n *Node) place(pod *corev1.Pod, addresses []netip.Addr) (*runningPod, error) {
	out := &runningPod{object: pod.DeepCopy(), node: n, terminate: make(chan struct{})}
	out.killed, out.kill = context.WithCancel(context.Background())
	if pod.Spec.HostNetwork {
		return out, nil
	}
	n.podsMu.Lock()
	defer n.podsMu.Unlock()
	var err error
	if out.pod, err = n.host.AddPod(pod.Namespace+"/"+pod.Name, addresses...); err != nil {
		return nil, err
	}
	if out.cniResult, err = n.writeCNIResult(pod, out.pod); err != nil {
		return nil, errors.Join(err, n.host.RemovePod(out.pod))
	}
	return out, nil
}

// setRunning sets the status of a Pod object to the status of a running pod.
func setRunning(pod *corev1.Pod, running *runningPod) {
	now := metav1.Now()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.StartTime = &now
	pod.Status.HostIPs, pod.Status.PodIPs, pod.Status.ContainerStatuses = nil, nil, nil
	for _, a := range running.node.host.Addresses() {
		pod.Status.HostIPs = append(pod.Status.HostIPs, corev1.HostIP{IP: a.String()})
	}
	for _, a := range running.host().Addresses() {
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: a.String()})
	}
	pod.Status.HostIP, pod.Status.PodIP = pod.Status.HostIPs[0].IP, pod.Status.PodIPs[0].IP
	pod.Status.Conditions = nil
	for _, condition := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	started := true
	for _, container := range pod.Spec.Containers {
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, Ready: true, Started: &started,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
}

// wantedAddresses returns the addresses in the annotation AddressAnnotation of a pod.
func wantedAddresses(pod *corev1.Pod) ([]netip.Addr, error) {
	text := pod.Annotations[AddressAnnotation]
	if text == "" {
		return nil, nil
	}
	var out []netip.Addr
	for part := range strings.SplitSeq(text, ",") {
		a, err := netip.ParseAddr(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %w", AddressAnnotation, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// node returns the node with the given name. If there is no such node, it returns nil.
func (c *Cluster) node(name string) *Node {
	for _, n := range c.nodes {
		if n.Name() == name {
			return n
		}
	}
	return nil
}

// The method `taken` reports whether a running pod uses at least one of the addresses.
func (c *Cluster) taken(addresses []netip.Addr) bool {
	c.pods.mu.Lock()
	defer c.pods.mu.Unlock()
	for _, running := range c.pods.byUID {
		if running.pod != nil && has(running.pod.Host, addresses) {
			return true
		}
	}
	return false
}

func has(host *lab.Host, addresses []netip.Addr) bool {
	for _, a := range addresses {
		if own, ok := host.Address(a); ok && own == a {
			return true
		}
	}
	return false
}
