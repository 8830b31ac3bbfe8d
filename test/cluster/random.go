package cluster

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Choose returns a number from 0 to n-1. The `n` parameter must be greater than 0. Random makes
// every choice with a Choose function. Smaller numbers lead to simpler clusters. So when a
// property test shrinks the numbers of a failing run, it finds a small cluster with which the
// test fails. A Choose function can be implemented with rapid.IntRange or rand.IntN.
type Choose func(n int) int

// Random is a small cluster in which many objects share a few names, labels and addresses. It
// also contains unusual objects: hostNetwork pods, finished pods, pods in namespaces that do
// not exist, pods that share an address, pods without an address, and invalid policies that an
// API server would reject.
type Random struct {
	Objects
	choose Choose
	now    int
	// tiers means that Step also changes ClusterNetworkPolicies and the labels of nodes.
	tiers bool
}

// NewRandom generates a cluster of up to 4 namespaces, 3 nodes, 12 pods and
// 7 policies.
func NewRandom(choose Choose) *Random {
	r := &Random{choose: choose}
	for _, name := range namespaceNames {
		if r.often() {
			r.Apply(Change{Object: r.namespace(name)})
		}
	}
	for _, name := range nodeNames[:3] {
		if r.often() {
			r.Apply(Change{Object: r.node(name)})
		}
	}
	for range 3 + choose(10) {
		r.Apply(Change{Object: r.pod(r.podKey())})
	}
	for range choose(8) {
		r.Apply(Change{Object: r.policy(r.policyKey())})
	}
	return r
}

// NodeNames returns the names of the nodes to which pods can be bound. The last name is "", for
// pods that are not bound to a node.
func NodeNames() []string { return slices.Clone(nodeNames) }

var (
	namespaceNames = []string{"red", "blue", "default", "ghost"}
	nodeNames      = []string{"one", "two", "three", ""}
	podNames       = []string{"p1", "p2", "p3", "p4"}
	policyNames    = []string{"allow", "deny", "more"}
	portNames      = []string{"http", "dns"}
	portNumbers    = []int32{80, 53, 8080, 81}
	protocols      = []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
	labelKeys      = []string{"app", "tier", "example.com/zone"}
	labelValues    = []string{"a", "b", ""}
	phases         = []corev1.PodPhase{corev1.PodRunning, corev1.PodPending, corev1.PodSucceeded, corev1.PodFailed, corev1.PodUnknown}
	// The addresses of pods are 10.0.0.1 to 10.0.0.8 and fd00::1 to fd00::8. The lists hosts4
	// and hosts6 contain the addresses of nodes. In both lists, only the last address can also
	// be the address of a pod. The lists outside4 and outside6 contain addresses that belong to
	// no pod and to no node.
	hosts4   = []string{"192.168.0.1", "192.168.0.2", "192.168.0.3", "10.0.0.8"}
	hosts6   = []string{"fd01::1", "fd01::2", "fd01::3", "fd00::8"}
	outside4 = []string{"10.0.0.9", "8.8.8.8", "192.168.0.9", "0.0.0.0", "255.255.255.255"}
	outside6 = []string{"fd00::9", "2001:db8::1", "::ffff:10.0.0.1", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}
)

func (r *Random) often() bool  { return r.choose(8) != 7 }
func (r *Random) half() bool   { return r.choose(2) == 1 }
func (r *Random) seldom() bool { return r.choose(8) == 7 }

func pick[T any](choose Choose, list []T) T { return list[choose(len(list))] }

// podKey returns a random namespace and a random name for a pod. The number of combinations is
// small, so the result is often the key of an existing pod.
func (r *Random) podKey() (namespace, name string) {
	return pick(r.choose, namespaceNames), pick(r.choose, podNames)
}

// policyKey returns a random namespace and a random name for a policy. The namespace usually
// contains pods.
func (r *Random) policyKey() (namespace, name string) {
	namespace, name = pick(r.choose, namespaceNames), pick(r.choose, policyNames)
	if len(r.Pods) > 0 && r.often() {
		namespace = pick(r.choose, r.Pods).Namespace
	}
	return namespace, name
}

func (r *Random) labels() map[string]string {
	labels := map[string]string{}
	for _, key := range labelKeys {
		if value := r.choose(len(labelValues) + 1); value > 0 {
			labels[key] = labelValues[value-1]
		}
	}
	return labels
}

func (r *Random) namespace(name string) *corev1.Namespace {
	labels := r.labels()
	if r.half() { // The API server adds this label to every namespace.
		labels[corev1.LabelMetadataName] = name
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

func (r *Random) node(name string) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: r.labels()}}
	add := func(kind corev1.NodeAddressType, address string) {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: kind, Address: address})
	}
	add(corev1.NodeHostName, name)
	if r.often() {
		add(corev1.NodeInternalIP, pick(r.choose, hosts4))
	}
	if r.half() {
		add(corev1.NodeExternalIP, pick(r.choose, hosts6))
	}
	if r.seldom() {
		add(corev1.NodeInternalIP, pick(r.choose, hosts6))
		add(corev1.NodeExternalIP, pick(r.choose, hosts4))
	}
	return node
}

// pod returns a new pod. The creation time is chosen from only three times, so that several pods
// often have the same creation time.
func (r *Random) pod(namespace, name string) *corev1.Pod {
	r.now++
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(strconv.Itoa(r.now)), Labels: r.labels(),
			CreationTimestamp: metav1.NewTime(time.Unix(int64(r.choose(3)), 0)),
		},
		Spec: corev1.PodSpec{
			NodeName:    pick(r.choose, []string{"one", "one", "one", "two", "two", "three", ""}),
			HostNetwork: r.seldom(),
		},
	}
	for range 1 + r.choose(2) {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Ports: r.containerPorts()})
	}
	if r.seldom() {
		pod.Spec.InitContainers = []corev1.Container{{Ports: r.containerPorts()}}
	}
	if r.seldom() {
		always := corev1.ContainerRestartPolicyAlways
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Ports: r.containerPorts(), RestartPolicy: &always})
	}
	pod.Status.Phase = corev1.PodRunning
	if r.seldom() {
		pod.Status.Phase = pick(r.choose, phases)
	}
	r.setAddresses(pod)
	return pod
}

func (r *Random) containerPorts() []corev1.ContainerPort {
	var ports []corev1.ContainerPort
	for range 1 + r.choose(2) {
		port := corev1.ContainerPort{ContainerPort: pick(r.choose, portNumbers), Protocol: corev1.ProtocolTCP}
		if r.half() {
			port.Protocol = pick(r.choose, protocols)
		}
		if r.often() {
			port.Name = pick(r.choose, portNames)
		}
		if port.Protocol == corev1.ProtocolTCP && r.half() {
			port.Protocol = ""
		}
		ports = append(ports, port)
	}
	return ports
}

// setAddresses sets the addresses of a pod. The pod gets an IPv4 address and an IPv6 address,
// only one of these addresses, or no address.
func (r *Random) setAddresses(pod *corev1.Pod) {
	pod.Status.PodIP, pod.Status.PodIPs, pod.Status.HostIP, pod.Status.HostIPs = "", nil, "", nil
	four, six := fmt.Sprintf("10.0.0.%d", 1+r.choose(8)), fmt.Sprintf("fd00::%d", 1+r.choose(8))
	host4, host6 := pick(r.choose, hosts4), pick(r.choose, hosts6)
	if pod.Spec.HostNetwork {
		four, six = host4, host6
	}
	var addresses []string
	switch r.choose(8) {
	case 0, 1, 2, 3:
		addresses = []string{four, six}
	case 4, 5:
		addresses = []string{four}
	case 6:
		addresses = []string{six}
	}
	for i, address := range addresses {
		if i == 0 {
			pod.Status.PodIP = address
		}
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: address})
	}
	if r.half() && pod.Spec.NodeName != "" {
		pod.Status.HostIP = host4
		pod.Status.HostIPs = []corev1.HostIP{{IP: host4}, {IP: host6}}
	}
}

// Flow returns a random flow between addresses of one family. The `family` parameter is 4 or 6.
// Most of the addresses are addresses of pods.
func (r *Random) Flow(family int) flow.Flow {
	f := flow.Flow{
		Src: r.address(family), Dst: r.address(family),
		Protocol: pick(r.choose, []flow.Protocol{flow.TCP, flow.TCP, flow.TCP, flow.UDP, flow.UDP, flow.SCTP, flow.ICMP, flow.ICMPv6, 47, 0}),
	}
	for range 3 {
		if f.Src != f.Dst {
			break
		}
		f.Dst = r.address(family)
	}
	if f.Protocol.HasPorts() {
		f.SrcPort = 40000
		f.DstPort = pick(r.choose, []uint16{80, 80, 8080, 53, 81, 80, 8080, 53, 81, 79, 82, 100, 1, 65535, 0})
	}
	return f
}

func (r *Random) address(family int) netip.Addr {
	var used, other []string
	for _, pod := range r.Pods {
		for _, entry := range pod.Status.PodIPs {
			used = append(used, entry.IP)
		}
	}
	if family == 4 {
		other = slices.Concat(hosts4, outside4)
	} else {
		other = slices.Concat(hosts6, outside6)
	}
	used = slices.DeleteFunc(used, func(text string) bool { return netip.MustParseAddr(text).Is4() != (family == 4) })
	if len(used) == 0 || r.choose(4) == 3 {
		return netip.MustParseAddr(pick(r.choose, other))
	}
	return netip.MustParseAddr(pick(r.choose, used))
}

// policy returns a new random policy. One in eight policies is invalid.
func (r *Random) policy(namespace, name string) *networkingv1.NetworkPolicy {
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
	}
	if r.half() {
		policy.Spec.PodSelector = r.selector()
	}
	for range r.choose(4) {
		ports, peers := r.rule()
		policy.Spec.Ingress = append(policy.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{Ports: ports, From: peers})
	}
	for range r.choose(4) {
		ports, peers := r.rule()
		policy.Spec.Egress = append(policy.Spec.Egress, networkingv1.NetworkPolicyEgressRule{Ports: ports, To: peers})
	}
	policy.Spec.PolicyTypes = pick(r.choose, [][]networkingv1.PolicyType{
		{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		{networkingv1.PolicyTypeIngress},
		{networkingv1.PolicyTypeEgress},
		nil,
	})
	if r.seldom() {
		r.invalidate(policy)
	}
	return policy
}

// Seeded returns a Choose function. Two functions with the same seed make the same choices.
func Seeded(seed uint64) Choose {
	return rand.New(rand.NewPCG(seed, 0)).IntN
}
