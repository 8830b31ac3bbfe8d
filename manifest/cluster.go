package manifest

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/policy"
)

// Cluster holds objects as an API server gave them: with every default filled
// in, and no two of a name.
type Cluster struct {
	// Name is how answers name the cluster as the place of an object.
	Name       string
	Pods       []corev1.Pod
	Namespaces []corev1.Namespace
	Nodes      []corev1.Node
	Policies   []networkingv1.NetworkPolicy
}

// Set gives the objects as if they had been read from files. What an API server
// took and nobody can understand is left out, as agents leave it out, and is
// among the set's faults.
func (c *Cluster) Set() *Set {
	origin := Origin{File: c.Name}
	set := &Set{}
	leftOut := func(kind string, o metav1.Object, err error) {
		if err != nil {
			set.Faults = append(set.Faults, &Error{Origin: origin, Object: objectName(kind, o.GetNamespace(), o.GetName()), Message: err.Error()})
		}
	}
	for i := range c.Namespaces {
		set.Namespaces = append(set.Namespaces, Namespace{Namespace: policy.NamespaceOf(&c.Namespaces[i]), Origin: origin})
	}
	for i := range c.Nodes {
		node, err := policy.NodeOf(&c.Nodes[i])
		leftOut("Node", &c.Nodes[i], err)
		set.Nodes = append(set.Nodes, Node{Node: node, Origin: origin})
	}
	for i := range c.Pods {
		pod, err := policy.PodOf(&c.Pods[i])
		leftOut("Pod", &c.Pods[i], err)
		set.Pods = append(set.Pods, Pod{Pod: pod, Origin: origin, Workload: workload(&c.Pods[i])})
	}
	for i := range c.Policies {
		set.Policies = append(set.Policies, Policy{NetworkPolicy: &c.Policies[i], Origin: origin})
	}
	return set
}
