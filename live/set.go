package live

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
)

// builder adds objects of the API server to a set. It leaves out addresses and
// ports that cannot be parsed, as agents do, and lists them in Set.Invalid.
type builder struct {
	set    inventory.Set
	origin inventory.Origin
}

func (b *builder) addPods(list []corev1.Pod) {
	for i := range list {
		pod, err := policy.PodOf(&list[i])
		b.invalid("Pod", &list[i], err)
		b.set.Pods = append(b.set.Pods, inventory.Pod{Pod: pod, Origin: b.origin, Workload: inventory.WorkloadOf(&list[i])})
	}
}

func (b *builder) addNamespaces(list []corev1.Namespace) {
	for i := range list {
		b.set.Namespaces = append(b.set.Namespaces, inventory.Namespace{Namespace: policy.NamespaceOf(&list[i]), Origin: b.origin})
	}
}

func (b *builder) addNodes(list []corev1.Node) {
	for i := range list {
		node, err := policy.NodeOf(&list[i])
		b.invalid("Node", &list[i], err)
		b.set.Nodes = append(b.set.Nodes, inventory.Node{Node: node, Origin: b.origin})
	}
}

func (b *builder) addPolicies(list []networkingv1.NetworkPolicy) {
	list = slices.Clone(list) // The next page reuses the memory of this one.
	for i := range list {
		b.set.Policies = append(b.set.Policies, inventory.Policy{NetworkPolicy: &list[i], Origin: b.origin})
	}
}

// invalid records an object with values that cannot be parsed.
func (b *builder) invalid(kind string, object metav1.Object, err error) {
	if err == nil {
		return
	}
	name := inventory.ObjectName(kind, object.GetNamespace(), object.GetName())
	b.set.Invalid = append(b.set.Invalid, &inventory.Error{Origin: b.origin, Object: name, Message: err.Error()})
}
