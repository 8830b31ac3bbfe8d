package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
)

// Container configures a container of the pod that enforces policies on a node.
type Container struct {
	// resources contains the requests and limits of the container. If it is empty, the
	// container has no requests and no limits.
	// +optional
	Resources Resources `json:"resources,omitempty"`
}

// Resources contains requests and limits, as in a container of a pod.
//
// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",message="a request exceeds its limit: lower the request or raise the limit"
type Resources struct {
	// requests are the resources that the scheduler reserves for the container. Specify cpu
	// in cores, and memory and ephemeral-storage in bytes, for example {cpu: 100m, memory:
	// 64Mi}. Default: no requests if resources is set.
	// +optional
	Requests ResourceList `json:"requests,omitempty"`
	// limits are the maximum resources that the container may use, in the same units. If
	// the container reaches a cpu limit, first packets may have to wait for the next
	// scheduling period of the kernel. Default: no limits.
	// +optional
	Limits ResourceList `json:"limits,omitempty"`
}

// ResourceList maps resource names to quantities.
//
// +kubebuilder:validation:MaxProperties=3
// +kubebuilder:validation:XValidation:rule="self.all(name, quantity(string(self[name])).compareTo(quantity('0')) >= 0)",message="a quantity is below 0: write 0 or more, or remove the resource"
// +kubebuilder:validation:XValidation:rule="self.all(name, name in ['cpu', 'memory', 'ephemeral-storage'])",message="write cpu, memory or ephemeral-storage: the containers use no other resource"
type ResourceList map[string]resource.Quantity

// Toleration is a toleration, as in the spec of a pod. A pod with this toleration can run on a node
// despite taints that match the toleration.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.operator) && self.operator == 'Exists') || !has(self.value)",message="operator Exists matches every value: remove value, or write operator: Equal"
// +kubebuilder:validation:XValidation:rule="has(self.key) || (has(self.operator) && self.operator == 'Exists')",message="a toleration without a key matches every taint: add operator: Exists, or add the key"
type Toleration struct {
	// key is the key of the taint. Default: every key matches.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +optional
	Key string `json:"key,omitempty"`
	// operator is Equal (the taint must have this value) or Exists (the taint may have any
	// value). Default: Equal.
	// +optional
	Operator TolerationOperator `json:"operator,omitempty"`
	// value is the value of the taint. It is used only with the operator Equal. Default:
	// the empty value.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Value string `json:"value,omitempty"`
	// effect is the effect of the taint: NoSchedule, PreferNoSchedule or NoExecute.
	// Default: every effect matches.
	// +optional
	Effect TaintEffect `json:"effect,omitempty"`
}

// TolerationOperator determines which values of a taint a toleration matches.
//
// +kubebuilder:validation:Enum=Equal;Exists
type TolerationOperator string

// The operators.
const (
	// TolerationEqual matches taints with the same value.
	TolerationEqual TolerationOperator = "Equal"
	// TolerationExists matches taints with any value.
	TolerationExists TolerationOperator = "Exists"
)

// TaintEffect is the effect of a taint on pods that do not tolerate it.
//
// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
type TaintEffect string

// The effects.
const (
	// TaintNoSchedule keeps new pods off the node.
	TaintNoSchedule TaintEffect = "NoSchedule"
	// TaintPreferNoSchedule keeps new pods off the node if they can run on another node.
	TaintPreferNoSchedule TaintEffect = "PreferNoSchedule"
	// TaintNoExecute keeps new pods off the node and evicts running pods.
	TaintNoExecute TaintEffect = "NoExecute"
)
