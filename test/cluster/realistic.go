package cluster

import (
	"cmp"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// LocalNode is the name of the node for which benchmarks compile trees.
const LocalNode = "node-0"

// LocalPods is the number of pods on LocalNode. By default, the kubelet allows 110 pods per
// node. The largest limit in common use is 250 pods.
const LocalPods = 250

// Size is the size of a realistic cluster.
type Size struct {
	// Pods is the number of pods, not including hostNetwork pods. In addition, every node runs
	// one hostNetwork pod. Policies is the number of policies.
	Pods, Policies int
	// Nodes is the number of nodes. The value 0 means one node for every 250 pods (LocalPods).
	Nodes int
	// DualStack adds an IPv6 address to each pod and node.
	DualStack bool
}

// Realistic is a large cluster that many teams share. Each team owns namespaces. Each namespace
// contains deployments in the tiers web, api, worker, cache and db. A deployment has a few
// replicas on different nodes. The node LocalNode usually runs 250 pods (LocalPods). The
// namespaces kube-system, ingress and monitoring contain the DNS servers, the ingress
// controllers and the scrapers. To save memory, a Realistic stores no pods: the iterator of the
// method Pods generates each pod when the caller requests it.
type Realistic struct {
	size        Size
	seed        uint64
	namespaces  []namespace
	deployments []deployment
	policies    []*networkingv1.NetworkPolicy
	podBits     int
}

type namespace struct {
	name   string
	labels map[string]string
	// The deployments of the namespace are deployments[first:last].
	first, last int
}

type deployment struct {
	namespace int
	app, tier string
	hash      string
	// The deployment's pods have the indexes from first, inclusive, to last, exclusive.
	first, last int
}

// These are the indexes of the system namespaces, which every cluster contains. The namespaces
// of the teams have higher indexes.
const (
	kubeSystem = iota
	ingress
	monitoring
	systemNamespaces
)

var (
	tiers = []string{"web", "api", "worker", "cache", "db"}
	// tierPorts contains the container port of each tier and of each system deployment. A tier
	// without a container port has no entry. In addition, each pod has a port for metrics.
	tierPorts = map[string]corev1.ContainerPort{
		"web":        {Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP},
		"api":        {Name: "grpc", ContainerPort: 9000, Protocol: corev1.ProtocolTCP},
		"cache":      {Name: "redis", ContainerPort: 6379, Protocol: corev1.ProtocolTCP},
		"db":         {Name: "postgres", ContainerPort: 5432, Protocol: corev1.ProtocolTCP},
		"dns":        {Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP},
		"controller": {Name: "https", ContainerPort: 8443, Protocol: corev1.ProtocolTCP},
	}
	environments = []string{"prod", "prod", "staging", "dev"}
)

// NewRealistic plans a cluster. Two calls with the same arguments plan the same cluster.
func NewRealistic(seed uint64, size Size) *Realistic {
	size.Nodes = cmp.Or(size.Nodes, max(1, (size.Pods+LocalPods-1)/LocalPods))
	r := &Realistic{size: size, seed: seed}
	random := rand.New(rand.NewPCG(seed, 1))
	r.planNamespaces(random)
	r.planDeployments(random)
	for perNode := max(r.locals(), size.Pods/max(1, size.Nodes-1)); 1<<r.podBits < perNode+4; {
		r.podBits++
	}
	r.planPolicies(random)
	return r
}

// planNamespaces plans one namespace for every ten policies. It plans at most one namespace for
// every twenty pods.
func (r *Realistic) planNamespaces(random *rand.Rand) {
	add := func(name string, labels map[string]string) {
		labels[corev1.LabelMetadataName] = name
		r.namespaces = append(r.namespaces, namespace{name: name, labels: labels})
	}
	add("kube-system", map[string]string{})
	add("ingress", map[string]string{"role": "ingress"})
	add("monitoring", map[string]string{"role": "monitoring"})
	teams := max(2, min(r.size.Policies/10, r.size.Pods/20))
	for i := range teams {
		add(fmt.Sprintf("team-%d", i), map[string]string{
			"team": fmt.Sprintf("team-%d", i/4),
			"env":  environments[random.IntN(len(environments))],
		})
	}
}

// planDeployments plans the deployments of each namespace. Each system namespace contains a
// share of 1/400 of all pods, but at least two pods.
func (r *Realistic) planDeployments(random *rand.Rand) {
	next := 0
	deploy := func(namespace int, app, tier string, replicas int) {
		replicas = min(replicas, r.size.Pods-next)
		if replicas <= 0 {
			return
		}
		r.deployments = append(r.deployments, deployment{
			namespace: namespace, app: app, tier: tier, hash: fmt.Sprintf("%010x", random.Uint64N(1<<40)),
			first: next, last: next + replicas,
		})
		next += replicas
	}
	system := max(2, r.size.Pods/400)
	teams := len(r.namespaces) - systemNamespaces
	for i := range r.namespaces {
		ns := &r.namespaces[i]
		ns.first = len(r.deployments)
		switch i {
		case kubeSystem:
			deploy(i, "kube-dns", "dns", system)
		case ingress:
			deploy(i, "ingress-nginx", "controller", system)
		case monitoring:
			deploy(i, "prometheus", "scraper", system)
		default:
			end := 3*system + (r.size.Pods-3*system)*(i-systemNamespaces+1)/teams
			for n := 0; next < end; n++ {
				deploy(i, fmt.Sprintf("app-%d", n/len(tiers)), tiers[n%len(tiers)], min(1+random.IntN(8), end-next))
			}
		}
		ns.last = len(r.deployments)
	}
}

// Namespaces yields every namespace.
func (r *Realistic) Namespaces() iter.Seq[*corev1.Namespace] {
	return func(yield func(*corev1.Namespace) bool) {
		for _, ns := range r.namespaces {
			if !yield(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns.name, Labels: ns.labels}}) {
				return
			}
		}
	}
}

// Nodes yields every node.
func (r *Realistic) Nodes() iter.Seq[*corev1.Node] {
	return func(yield func(*corev1.Node) bool) {
		for i := range r.size.Nodes {
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName(i)}}
			for _, address := range r.nodeAddresses(i) {
				node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address.String()})
			}
			if !yield(node) {
				return
			}
		}
	}
}

// Policies returns all policies. The caller must not modify these policies.
func (r *Realistic) Policies() []*networkingv1.NetworkPolicy { return r.policies }

// Pods yields every pod. Each pod is a new object.
func (r *Realistic) Pods() iter.Seq[*corev1.Pod] {
	return func(yield func(*corev1.Pod) bool) {
		for d := range r.deployments {
			for i := r.deployments[d].first; i < r.deployments[d].last; i++ {
				if !yield(r.pod(d, i)) {
					return
				}
			}
		}
		for i := range r.size.Nodes {
			if !yield(r.hostPod(i)) {
				return
			}
		}
	}
}

// Objects returns all objects of the cluster, including all pods, in one value.
func (r *Realistic) Objects() Objects {
	var objects Objects
	for ns := range r.Namespaces() {
		objects.Namespaces = append(objects.Namespaces, ns)
	}
	for node := range r.Nodes() {
		objects.Nodes = append(objects.Nodes, node)
	}
	for pod := range r.Pods() {
		objects.Pods = append(objects.Pods, pod)
	}
	objects.Policies = r.policies
	return objects
}

func (r *Realistic) pod(d, index int) *corev1.Pod {
	dep := &r.deployments[d]
	node := r.nodeOf(index)
	name := fmt.Sprintf("%s-%s-%s-%d", dep.app, dep.tier, dep.hash, index-dep.first)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.namespaces[dep.namespace].name, Name: name, UID: types.UID(fmt.Sprintf("uid-%d", index)),
			Labels:            map[string]string{"app": dep.app, "tier": dep.tier, "pod-template-hash": dep.hash},
			CreationTimestamp: metav1.NewTime(time.Unix(int64(1_700_000_000+index), 0)),
		},
		Spec: corev1.PodSpec{
			NodeName:   nodeName(node),
			Containers: []corev1.Container{{Name: dep.app, Ports: containerPorts(dep.tier)}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	setStatus(pod, r.podAddresses(index), r.nodeAddresses(node))
	return pod
}

func (r *Realistic) hostPod(node int) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.namespaces[kubeSystem].name, Name: fmt.Sprintf("kube-proxy-%d", node),
			UID: types.UID(fmt.Sprintf("uid-host-%d", node)), Labels: map[string]string{"app": "kube-proxy"},
			CreationTimestamp: metav1.NewTime(time.Unix(1_700_000_000, 0)),
		},
		Spec:   corev1.PodSpec{NodeName: nodeName(node), HostNetwork: true, Containers: []corev1.Container{{Name: "kube-proxy"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	setStatus(pod, r.nodeAddresses(node), r.nodeAddresses(node))
	return pod
}

func containerPorts(tier string) []corev1.ContainerPort {
	ports := []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9090, Protocol: corev1.ProtocolTCP}}
	if port, ok := tierPorts[tier]; ok {
		ports = append(ports, port)
	}
	return ports
}

func setStatus(pod *corev1.Pod, addresses, host []netip.Addr) {
	for _, address := range addresses {
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: address.String()})
	}
	for _, address := range host {
		pod.Status.HostIPs = append(pod.Status.HostIPs, corev1.HostIP{IP: address.String()})
	}
	pod.Status.PodIP, pod.Status.HostIP = pod.Status.PodIPs[0].IP, pod.Status.HostIPs[0].IP
}
