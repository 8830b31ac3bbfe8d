// Package cluster makes clusters out of nothing, for tests and benchmarks:
// Realistic is large and looks like what administrators run, Random is small
// and as nasty as a handful of names, labels and addresses can be. Both are
// plain Kubernetes API objects, the same for the same seed.
package cluster

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Objects is all that a verdict depends on. An object in it is never changed
// in place: whoever changes one puts a changed copy in its place.
type Objects struct {
	Namespaces []*corev1.Namespace
	Nodes      []*corev1.Node
	Pods       []*corev1.Pod
	Policies   []*networkingv1.NetworkPolicy
}

// Change is one event as a watch would deliver it.
type Change struct {
	// Object is a *Namespace, *Node, *Pod or *NetworkPolicy: its new state, or
	// its last one when Deleted.
	Object  metav1.Object
	Deleted bool
}

// Apply makes the change, and shares no slice with copies made before.
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
	}
}

// Created lists every object as a creation: namespaces, nodes, pods, policies.
func (o *Objects) Created() []Change {
	changes := make([]Change, 0, len(o.Namespaces)+len(o.Nodes)+len(o.Pods)+len(o.Policies))
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

// String gives the objects as one line of JSON each.
func (o *Objects) String() string {
	var lines strings.Builder
	for _, c := range o.Created() {
		lines.WriteString(c.String() + "\n")
	}
	return lines.String()
}

// String gives the change as one line: what becomes of the object, and the
// object as JSON unless it goes.
func (c Change) String() string {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", c.Object), "*v1.")
	if c.Deleted {
		return fmt.Sprintf("delete %s %s/%s", kind, c.Object.GetNamespace(), c.Object.GetName())
	}
	text, err := json.Marshal(c.Object)
	if err != nil {
		return fmt.Sprintf("set %s: %v", kind, err)
	}
	return fmt.Sprintf("set %s %s", kind, text)
}
