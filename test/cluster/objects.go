// Package cluster generates the API objects of whole clusters for tests and benchmarks.
// Realistic generates a large cluster that resembles production clusters. Random generates a
// small cluster in which many objects have the same names, labels or addresses. The same seed
// always produces the same objects.
package cluster

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"
)

// Objects contains the objects that can affect a verdict. No function modifies these objects.
// Instead, a change replaces an object with a modified copy.
type Objects struct {
	Namespaces []*corev1.Namespace
	Nodes      []*corev1.Node
	Pods       []*corev1.Pod
	Policies   []*networkingv1.NetworkPolicy
	// ClusterNetworkPolicies contains the policies of the Admin and the Baseline tier.
	ClusterNetworkPolicies []*v1beta1.ClusterNetworkPolicy
}

// Change represents an event that a watch delivers.
type Change struct {
	// Object is a *Namespace, *Node, *Pod, *NetworkPolicy or *ClusterNetworkPolicy. If Deleted
	// is false, Object has its state after the change. If Deleted is true, Object has its last
	// state before the deletion.
	Object  metav1.Object
	Deleted bool
}

// Apply applies a change to o. Copies of o that were made before the call do not change.
func (o *Objects) Apply(c Change) {
	switch object := c.Object.(type) {
	case *corev1.Namespace:
		o.Namespaces = replace(o.Namespaces, object, c.Deleted)
	case *corev1.Node:
		o.Nodes = replace(o.Nodes, object, c.Deleted)
	case *corev1.Pod:
		o.Pods = replace(o.Pods, object, c.Deleted)
	case *networkingv1.NetworkPolicy:
		o.Policies = replace(o.Policies, object, c.Deleted)
	case *v1beta1.ClusterNetworkPolicy:
		o.ClusterNetworkPolicies = replace(o.ClusterNetworkPolicies, object, c.Deleted)
	}
}

// Created returns one change for the creation of each object. The order is: namespaces, nodes,
// pods, NetworkPolicies, ClusterNetworkPolicies.
func (o *Objects) Created() []Change {
	changes := make([]Change, 0, len(o.Namespaces)+len(o.Nodes)+len(o.Pods)+len(o.Policies)+len(o.ClusterNetworkPolicies))
	for _, object := range o.Namespaces {
		changes = append(changes, Change{Object: object})
	}
	for _, object := range o.Nodes {
		changes = append(changes, Change{Object: object})
	}
	for _, object := range o.Pods {
		changes = append(changes, Change{Object: object})
	}
	for _, object := range o.Policies {
		changes = append(changes, Change{Object: object})
	}
	for _, object := range o.ClusterNetworkPolicies {
		changes = append(changes, Change{Object: object})
	}
	return changes
}

func replace[T metav1.Object](list []T, object T, deleted bool) []T {
	rest := slices.DeleteFunc(slices.Clone(list), func(other T) bool {
		return other.GetNamespace() == object.GetNamespace() && other.GetName() == object.GetName()
	})
	if deleted {
		return rest
	}
	return append(rest, object)
}

// String returns the objects as JSON, with one line for each object.
func (o *Objects) String() string {
	var lines strings.Builder
	for _, c := range o.Created() {
		lines.WriteString(c.String() + "\n")
	}
	return lines.String()
}

// String returns the change as one line. The line contains "delete" and the name of the object,
// or "set" and the object as JSON.
func (c Change) String() string {
	_, kind, _ := strings.Cut(fmt.Sprintf("%T", c.Object), ".")
	if c.Deleted {
		return fmt.Sprintf("delete %s %s/%s", kind, c.Object.GetNamespace(), c.Object.GetName())
	}
	text, err := json.Marshal(c.Object)
	if err != nil {
		return fmt.Sprintf("set %s: %v", kind, err)
	}
	return fmt.Sprintf("set %s %s", kind, text)
}
