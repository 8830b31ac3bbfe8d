package labcluster

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
)

// AddressAnnotation is the annotation of a Pod that sets its addresses: one
// address, or an IPv4 and an IPv6 address with a comma between them. The addresses
// need not be in the ranges of the node. A pod without the annotation gets the next
// free addresses of these ranges.
const AddressAnnotation = "lab.sluice.dev/addresses"

// addressRetry is the time between two attempts to start a pod whose address is
// still in use.
const addressRetry = 5 * time.Millisecond

// kubelet replaces the scheduler and all kubelets of a cluster.
type kubelet struct {
	cluster *Cluster
	client  client.Client
	turn    atomic.Uint64
}

// Reconcile starts or stops a pod in the lab, depending on the Pod object.
func (k *kubelet) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	var pod corev1.Pod
	if err := client.IgnoreNotFound(k.client.Get(ctx, r.NamespacedName, &pod)); err != nil {
		return reconcile.Result{}, err
	}
	running := k.cluster.pods.get(r.NamespacedName)
	// If the Pod object does not exist, pod.UID is empty.
	if running != nil && (pod.UID != running.uid || finished(&pod)) {
		if err := k.remove(r.NamespacedName, running); err != nil {
			return reconcile.Result{}, err
		}
		running = nil
	}
	switch {
	case pod.UID == "" || pod.Spec.SchedulerName == NoScheduler:
		return reconcile.Result{}, nil
	case pod.DeletionTimestamp != nil:
		return reconcile.Result{}, k.end(ctx, &pod, running)
	case finished(&pod):
		return reconcile.Result{}, nil
	case pod.Spec.NodeName == "":
		return reconcile.Result{}, k.bind(ctx, &pod)
	}
	return k.run(ctx, &pod, running)
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// bind assigns a pod to a node, to each node in turn.
func (k *kubelet) bind(ctx context.Context, pod *corev1.Pod) error {
	node := k.cluster.nodes[int(k.turn.Add(1)-1)%len(k.cluster.nodes)]
	binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node.Name()}}
	if err := client.IgnoreNotFound(k.client.SubResource("binding").Create(ctx, pod, binding)); err != nil {
		return fmt.Errorf("binding to %s: %w", node.Name(), err)
	}
	return nil
}

// run starts the pod in the lab and updates its status.
func (k *kubelet) run(ctx context.Context, pod *corev1.Pod, running *runningPod) (reconcile.Result, error) {
	node := k.cluster.node(pod.Spec.NodeName)
	if node == nil {
		return reconcile.Result{}, nil // The node does not belong to the lab.
	}
	if running == nil {
		addresses, err := wantedAddresses(pod)
		if err != nil {
			return reconcile.Result{}, reconcile.TerminalError(err)
		}
		if k.cluster.taken(addresses) {
			return reconcile.Result{RequeueAfter: addressRetry}, nil
		}
		if running, err = node.place(pod, addresses); err != nil {
			return reconcile.Result{}, err
		}
		k.cluster.pods.set(client.ObjectKeyFromObject(pod), running)
	}
	if pod.Status.Phase == corev1.PodRunning {
		return reconcile.Result{}, nil
	}
	setRunning(pod, running)
	err := k.client.Status().Update(ctx, pod)
	return reconcile.Result{}, client.IgnoreNotFound(err)
}

// end removes the pod from the lab first, and deletes the Pod object afterwards. As
// in a real cluster, the address is therefore free shortly before the object is
// deleted.
func (k *kubelet) end(ctx context.Context, pod *corev1.Pod, running *runningPod) error {
	if running != nil {
		if err := k.remove(client.ObjectKeyFromObject(pod), running); err != nil {
			return err
		}
	}
	err := k.client.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the pod: %w", err)
	}
	return nil
}

func (k *kubelet) remove(key types.NamespacedName, running *runningPod) error {
	for _, s := range running.servers {
		s.Close()
	}
	if running.pod != nil {
		running.node.plugging.Lock()
		defer running.node.plugging.Unlock()
		if err := running.node.host.RemovePod(running.pod); err != nil {
			return err
		}
	}
	k.cluster.pods.set(key, nil)
	return nil
}

// place creates the pod's network namespace and its servers.
func (n *Node) place(pod *corev1.Pod, addresses []netip.Addr) (*runningPod, error) {
	out := &runningPod{uid: pod.UID, node: n}
	host := n.host.Host
	if !pod.Spec.HostNetwork {
		n.plugging.Lock()
		defer n.plugging.Unlock()
		plugged, err := n.host.AddPod(pod.Namespace+"/"+pod.Name, addresses...)
		if err != nil {
			return nil, err
		}
		out.pod, host = plugged, plugged.Host
	}
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			protocol, err := flow.ParseProtocol(string(port.Protocol))
			if err != nil {
				return nil, err
			}
			for _, address := range host.Addresses() {
				server, err := host.Serve(protocol, netip.AddrPortFrom(address, uint16(port.ContainerPort)))
				if err != nil {
					return nil, err
				}
				out.servers = append(out.servers, server)
			}
		}
	}
	return out, nil
}

// setRunning fills the status of a Pod object for a running pod.
func setRunning(pod *corev1.Pod, running *runningPod) {
	now := metav1.Now()
	pod.Status.Phase = corev1.PodRunning
	pod.Status.StartTime = &now
	pod.Status.HostIPs, pod.Status.PodIPs, pod.Status.ContainerStatuses = nil, nil, nil
	for _, a := range running.node.host.Addresses() {
		pod.Status.HostIPs = append(pod.Status.HostIPs, corev1.HostIP{IP: a.String()})
	}
	host := running.node.host.Host
	if running.pod != nil {
		host = running.pod.Host
	}
	for _, a := range host.Addresses() {
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

// wantedAddresses returns the addresses in the pod's AddressAnnotation.
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

// node returns the node with a name, or nil if there is none.
func (c *Cluster) node(name string) *Node {
	for _, n := range c.nodes {
		if n.Name() == name {
			return n
		}
	}
	return nil
}

// taken reports whether a running pod uses one of the addresses.
func (c *Cluster) taken(addresses []netip.Addr) bool {
	c.pods.mu.Lock()
	defer c.pods.mu.Unlock()
	for _, running := range c.pods.byKey {
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
