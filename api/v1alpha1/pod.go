package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
)

// Container is what can be set about a container of the node's pod.
type Container struct {
	// resources are the container's requests and limits. An empty value asks for
	// nothing and is bounded by nothing.
	// +optional
	Resources Resources `json:"resources,omitempty"`
}

// Resources are requests and limits as in a pod's container.
//
// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",message="a request is over its limit: lower the request or raise the limit"
type Resources struct {
	// requests is what a node must have free for the container: cpu in cores,
	// memory and ephemeral-storage in bytes, such as {cpu: 100m, memory: 64Mi}.
	// Default: nothing, once resources are given.
	// +optional
	Requests ResourceList `json:"requests,omitempty"`
	// limits is what the container may use at most, in the same units. Without a
	// cpu limit first packets never wait for the next scheduling period. Default:
	// no limit.
	// +optional
	Limits ResourceList `json:"limits,omitempty"`
}

// ResourceList has quantities by the name of the resource.
//
// +kubebuilder:validation:MaxProperties=3
// +kubebuilder:validation:XValidation:rule="self.all(name, quantity(string(self[name])).compareTo(quantity('0')) >= 0)",message="a quantity is below 0: write 0 or more, or leave the resource out"
// +kubebuilder:validation:XValidation:rule="self.all(name, name in ['cpu', 'memory', 'ephemeral-storage'])",message="write cpu, memory or ephemeral-storage: the containers use no other resource"
type ResourceList map[string]resource.Quantity

// Toleration is a toleration as in a pod: a taint that matches it does not keep
// the node's pod away.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.operator) && self.operator == 'Exists') || !has(self.value)",message="operator Exists matches every value: remove value, or write operator: Equal"
// +kubebuilder:validation:XValidation:rule="has(self.key) || (has(self.operator) && self.operator == 'Exists')",message="a toleration without a key matches every taint: write operator: Exists beside it, or add the key"
type Toleration struct {
	// key is the taint's key. Default: every key matches.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +optional
	Key string `json:"key,omitempty"`
	// operator is Equal (the taint's value is value) or Exists (any value).
	// Default: Equal.
	// +optional
	Operator TolerationOperator `json:"operator,omitempty"`
	// value is the taint's value, for operator Equal. Default: the empty value.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Value string `json:"value,omitempty"`
	// effect is the taint's effect: NoSchedule, PreferNoSchedule or NoExecute.
	// Default: every effect matches.
	// +optional
	Effect TaintEffect `json:"effect,omitempty"`
}

// TolerationOperator relates a toleration's key to its value.
//
// +kubebuilder:validation:Enum=Equal;Exists
type TolerationOperator string

// The operators.
const (
	// TolerationEqual asks for the same value.
	TolerationEqual TolerationOperator = "Equal"
	// TolerationExists takes any value.
	TolerationExists TolerationOperator = "Exists"
)

// TaintEffect is what a taint does to pods that do not tolerate it.
//
// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
type TaintEffect string

// The effects.
const (
	// TaintNoSchedule keeps new pods away.
	TaintNoSchedule TaintEffect = "NoSchedule"
	// TaintPreferNoSchedule keeps new pods away where another node has room.
	TaintPreferNoSchedule TaintEffect = "PreferNoSchedule"
	// TaintNoExecute keeps new pods away and evicts running ones.
	TaintNoExecute TaintEffect = "NoExecute"
)
