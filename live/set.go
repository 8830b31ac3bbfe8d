package live

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
)

// builder converts objects from the API server and adds them to a set. Like the agent, it
// omits addresses and ports that cannot be parsed. It records an error in Set.Invalid for
// each omitted value.
type builder struct {
	set    inventory.Set
	origin inventory.Origin
}

func (b *builder) addPods(list []corev1.Pod) {
	for i := range list {
		pod, errs := policy.ReadPod(&list[i])
		b.invalid("Pod", &list[i], errs)
		kind, name := inventory.WorkloadOf(&list[i])
		b.set.Pods = append(b.set.Pods, inventory.Pod{Pod: *pod, Origin: b.origin, Controller: kind, Workload: name})
	}
}

func (b *builder) addNamespaces(list []corev1.Namespace) {
	for i := range list {
		b.set.Namespaces = append(b.set.Namespaces, inventory.Namespace{Namespace: policy.ReadNamespace(&list[i]), Origin: b.origin})
	}
}

func (b *builder) addNodes(list []corev1.Node) {
	for i := range list {
		node, errs := policy.ReadNode(&list[i])
		b.invalid("Node", &list[i], errs)
		b.set.Nodes = append(b.set.Nodes, inventory.Node{Node: node, Origin: b.origin})
	}
}

func (b *builder) addPolicies(list []networkingv1.NetworkPolicy) {
	for i := range list {
		// The returned error can be ignored because the policy itself contains the errors of
		// its invalid parts.
		p, _ := read.NetworkPolicy(&list[i])
		b.set.Policies = append(b.set.Policies, inventory.Policy{Policy: p, Origin: b.origin})
	}
}

func (b *builder) addClusterPolicies(list []unstructured.Unstructured) {
	for i := range list {
		p, _ := read.ClusterNetworkPolicy(&list[i])
		b.set.Policies = append(b.set.Policies, inventory.Policy{Policy: p, Origin: b.origin})
	}
}

// invalid records an error for each value of an object that cannot be parsed.
func (b *builder) invalid(kind string, object metav1.Object, errs []policy.FieldError) {
	name := inventory.ObjectName(kind, object.GetNamespace(), object.GetName())
	for _, e := range errs {
		b.set.Invalid = append(b.set.Invalid, &inventory.Error{Origin: b.origin, Object: name, Field: e.Field, Message: e.Message})
	}
}
