package manifest

import (
	"encoding/json"
	"maps"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The types in this file define only the fields of pods, nodes and namespaces that affect
// verdicts. All other fields are ignored, because a dump of a newer cluster can contain
// fields that the current Go types do not define.

type metadata struct {
	Name              string                  `json:"name"`
	GenerateName      string                  `json:"generateName"`
	Namespace         string                  `json:"namespace"`
	UID               types.UID               `json:"uid"`
	ResourceVersion   string                  `json:"resourceVersion"`
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

func (m *metadata) version() string { return version(m.UID, m.ResourceVersion) }

// version returns a string that identifies one version of an object in a cluster. If the
// object was not read from a cluster, version returns "".
func version(uid types.UID, resourceVersion string) string {
	if uid == "" || resourceVersion == "" {
		return ""
	}
	return string(uid) + "/" + resourceVersion
}

// header contains the fields that every Kubernetes object has.
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
	Spec     podSpec  `json:"spec"`
	Status   struct {
		Phase   corev1.PodPhase `json:"phase"`
		HostIP  string          `json:"hostIP"`
		HostIPs []corev1.HostIP `json:"hostIPs"`
		PodIP   string          `json:"podIP"`
		PodIPs  []corev1.PodIP  `json:"podIPs"`
	} `json:"status"`
}

type podSpec struct {
	NodeName       string      `json:"nodeName"`
	HostNetwork    bool        `json:"hostNetwork"`
	Containers     []container `json:"containers"`
	InitContainers []container `json:"initContainers"`
}

func (s *podSpec) spec() corev1.PodSpec {
	return corev1.PodSpec{
		NodeName:       s.NodeName,
		HostNetwork:    s.HostNetwork,
		Containers:     containers(s.Containers),
		InitContainers: containers(s.InitContainers),
	}
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

// listObject contains the fields of a list of objects.
type listObject struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   json.RawMessage   `json:"metadata"`
	Items      []json.RawMessage `json:"items"`
}

// policyObject is a NetworkPolicy with the `status` field, which Kubernetes 1.24 to 1.27 wrote.
// The field is defined here because later Go types do not define it. The status does not
// affect verdicts.
type policyObject struct {
	networkingv1.NetworkPolicy `json:",inline"`

	Status json.RawMessage `json:"status"`
}

// pod returns a corev1.Pod with the fields that were read.
func (o *podObject) pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: o.Metadata.objectMeta(),
		Spec:       o.Spec.spec(),
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

// noStatus reports whether the pod has neither a phase nor an address. Such a pod
// was not read from a cluster, because every pod in a cluster has a phase.
func (o *podObject) noStatus() bool {
	s := &o.Status
	return s.Phase == "" && s.PodIP == "" && len(s.PodIPs) == 0 && s.HostIP == "" && len(s.HostIPs) == 0
}

func (o *nodeObject) node() *corev1.Node {
	return &corev1.Node{ObjectMeta: o.Metadata.objectMeta(), Status: corev1.NodeStatus{Addresses: o.Status.Addresses}}
}

// namespace returns a corev1.Namespace with the label kubernetes.io/metadata.name,
// which the API server adds to every namespace.
func (o *namespaceObject) namespace() *corev1.Namespace {
	meta := o.Metadata.objectMeta()
	meta.Labels = map[string]string{}
	maps.Copy(meta.Labels, o.Metadata.Labels)
	meta.Labels[corev1.LabelMetadataName] = meta.Name
	return &corev1.Namespace{ObjectMeta: meta}
}
