package stage

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/test/cluster"
)

// entry represents one object in YAML. Exactly one of the fields Namespace, Node, Pod, Policy,
// Admin and Baseline is set. This field determines the kind of the object and contains its name.
// There is one exception: an entry for a pod can also set the field Node, which is then the name
// of the pod's node.
type entry struct {
	Namespace string
	Node      *string
	Pod       string
	Policy    string
	// Admin and Baseline are names of ClusterNetworkPolicies. The field determines the tier.
	Admin, Baseline string
	Labels          map[string]string
	// Host means that the pod is in the host network.
	Host bool
	// Ports contains container ports in the form NAME:NUMBER or NAME:NUMBER/PROTOCOL.
	Ports []string
	// Spec is the spec of a NetworkPolicy.
	Spec networkingv1.NetworkPolicySpec
	// The other fields are fields of the spec of a ClusterNetworkPolicy.
	Priority int32
	Subject  v1beta1.ClusterNetworkPolicySubject
	Ingress  []v1beta1.ClusterNetworkPolicyIngressRule
	Egress   []v1beta1.ClusterNetworkPolicyEgressRule
}

// DefaultNode is the node of each pod whose entry sets no node.
const DefaultNode = "one"

// Objects parses a list of objects. All pods are running. The n-th pod in the list has the
// addresses 10.0.0.n and fd00::n. The n-th node has the addresses 192.168.0.n and fd01::n. The
// first number is 1. A pod in the host network has the addresses of its node, whose entry must
// precede the entry of the pod.
func Objects(t testing.TB, text string) cluster.Objects {
	t.Helper()
	var entries []entry
	if err := yaml.UnmarshalStrict([]byte(spaces(text)), &entries); err != nil {
		t.Fatalf("objects: %v\n%s", err, text)
	}
	var out cluster.Objects
	for _, e := range entries {
		if e.Labels == nil {
			e.Labels = map[string]string{} // Tests may add labels.
		}
		switch {
		case e.Namespace != "":
			out.Namespaces = append(out.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.Namespace, Labels: e.Labels}})
		case e.Policy != "":
			out.Policies = append(out.Policies, policyOf(e.Policy, e.Spec))
		case e.Admin != "" || e.Baseline != "":
			out.ClusterNetworkPolicies = append(out.ClusterNetworkPolicies, clusterPolicyOf(&e))
		case e.Pod != "":
			out.Pods = append(out.Pods, podOf(t, &e, out.Nodes, len(out.Pods)+1))
		case e.Node != nil:
			out.Nodes = append(out.Nodes, nodeOf(*e.Node, e.Labels, len(out.Nodes)+1))
		default:
			t.Fatalf("objects: entry %+v is not a namespace, node, pod or policy", e)
		}
	}
	return out
}

// Policy returns a policy with a spec in YAML. The name has the form NAMESPACE/NAME.
func Policy(t testing.TB, name, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	p := policyOf(name, networkingv1.NetworkPolicySpec{})
	if err := yaml.UnmarshalStrict([]byte(spaces(spec)), &p.Spec); err != nil {
		t.Fatalf("policy %s: %v", name, err)
	}
	return p
}

// The function `spaces` replaces tabs with spaces. Go code is indented with tabs, but YAML does
// not allow tabs as indentation.
func spaces(text string) string { return strings.ReplaceAll(text, "\t", "  ") }

func policyOf(name string, spec networkingv1.NetworkPolicySpec) *networkingv1.NetworkPolicy {
	namespace, name, _ := strings.Cut(name, "/")
	return &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec}
}

func clusterPolicyOf(e *entry) *v1beta1.ClusterNetworkPolicy {
	policy := &v1beta1.ClusterNetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: e.Admin},
		Spec: v1beta1.ClusterNetworkPolicySpec{
			Tier: v1beta1.AdminTier, Priority: e.Priority, Subject: e.Subject, Ingress: e.Ingress, Egress: e.Egress,
		},
	}
	if e.Baseline != "" {
		policy.Name, policy.Spec.Tier = e.Baseline, v1beta1.BaselineTier
	}
	return policy
}

func nodeOf(name string, labels map[string]string, number int) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeHostName, Address: name},
			{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.168.0.%d", number)},
			{Type: corev1.NodeExternalIP, Address: fmt.Sprintf("fd01::%d", number)},
		}},
	}
}

func podOf(t testing.TB, e *entry, nodes []*corev1.Node, number int) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: e.Labels}}
	pod.Namespace, pod.Name, _ = strings.Cut(e.Pod, "/")
	pod.Spec.NodeName = DefaultNode
	if e.Node != nil {
		pod.Spec.NodeName = *e.Node
	}
	pod.Spec.Containers = []corev1.Container{{Ports: containerPorts(t, e)}}
	pod.Status.Phase = corev1.PodRunning
	SetAddresses(pod, fmt.Sprintf("10.0.0.%d", number), fmt.Sprintf("fd00::%d", number))
	if e.Host {
		pod.Spec.HostNetwork = true
		for _, n := range nodes {
			if n.Name == pod.Spec.NodeName {
				SetAddresses(pod, n.Status.Addresses[1].Address, n.Status.Addresses[2].Address)
			}
		}
	}
	return pod
}

func containerPorts(t testing.TB, e *entry) []corev1.ContainerPort {
	t.Helper()
	var out []corev1.ContainerPort
	for _, text := range e.Ports {
		name, text, _ := strings.Cut(text, ":")
		text, protocol, _ := strings.Cut(text, "/")
		number, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			t.Fatalf("pod %s: port %s: %v", e.Pod, name, err)
		}
		out = append(out, corev1.ContainerPort{Name: name, ContainerPort: int32(number), Protocol: corev1.Protocol(protocol)})
	}
	return out
}

// SetAddresses replaces the IP addresses in the status of a pod with the given addresses.
func SetAddresses(pod *corev1.Pod, addresses ...string) {
	pod.Status.PodIP, pod.Status.PodIPs = "", nil
	for _, address := range addresses {
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: address})
	}
	if len(addresses) > 0 {
		pod.Status.PodIP = addresses[0]
	}
}
