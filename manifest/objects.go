package manifest

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The fields of pods, nodes and namespaces that decide anything. Everything
// else in them is passed over, whatever it is: a dump of a newer cluster has
// fields that no released type knows.

type metadata struct {
	Name              string                  `json:"name"`
	Namespace         string                  `json:"namespace"`
	UID               types.UID               `json:"uid"`
	Labels            map[string]string       `json:"labels"`
	CreationTimestamp metav1.Time             `json:"creationTimestamp"`
	OwnerReferences   []metav1.OwnerReference `json:"ownerReferences"`
}

func (m *metadata) objectMeta() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, Labels: m.Labels,
		CreationTimestamp: m.CreationTimestamp, OwnerReferences: m.OwnerReferences,
	}
}

// header is what every object has.
type header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

type podObject struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metadata `json:"metadata"`
	Spec     struct {
		NodeName       string      `json:"nodeName"`
		HostNetwork    bool        `json:"hostNetwork"`
		Containers     []container `json:"containers"`
		InitContainers []container `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		Phase   corev1.PodPhase `json:"phase"`
		HostIP  string          `json:"hostIP"`
		HostIPs []corev1.HostIP `json:"hostIPs"`
		PodIP   string          `json:"podIP"`
		PodIPs  []corev1.PodIP  `json:"podIPs"`
	} `json:"status"`
}

type container struct {
	Ports         []corev1.ContainerPort         `json:"ports"`
	RestartPolicy *corev1.ContainerRestartPolicy `json:"restartPolicy"`
}

type namespaceObject struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metadata `json:"metadata"`
}

type nodeObject struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metadata `json:"metadata"`
	Status   struct {
		Addresses []corev1.NodeAddress `json:"addresses"`
	} `json:"status"`
}

// pod gives the API type, holding what was read.
func (o *podObject) pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: o.Metadata.objectMeta(),
		Spec: corev1.PodSpec{
			NodeName:       o.Spec.NodeName,
			HostNetwork:    o.Spec.HostNetwork,
			Containers:     containers(o.Spec.Containers),
			InitContainers: containers(o.Spec.InitContainers),
		},
		Status: corev1.PodStatus{
			Phase:   o.Status.Phase,
			HostIP:  o.Status.HostIP,
			HostIPs: o.Status.HostIPs,
			PodIP:   o.Status.PodIP,
			PodIPs:  o.Status.PodIPs,
		},
	}
}

func containers(in []container) []corev1.Container {
	out := make([]corev1.Container, len(in))
	for i := range in {
		out[i].Ports = in[i].Ports
		out[i].RestartPolicy = in[i].RestartPolicy
	}
	return out
}

// noStatus reports that no cluster has ever written to the pod.
func (o *podObject) noStatus() bool {
	s := &o.Status
	return s.Phase == "" && s.PodIP == "" && len(s.PodIPs) == 0 && s.HostIP == "" && len(s.HostIPs) == 0
}
