package query

import (
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/query/question"
)

// End is one end of a flow: a pod, or an address that does not belong to a pod.
type End struct {
	// Pod is "namespace/name", or "" if the address does not belong to a pod.
	Pod string `json:"pod,omitempty"`
	// Node is the node that the pod is bound to.
	Node string `json:"node,omitempty"`
	// Address is the address with which flows are evaluated. If both ends have an IPv4 address, it
	// is an IPv4 address.
	Address netip.Addr `json:"address"`
	// Template is the kind of a workload if the pod is a template: it does not exist, but
	// represents the pods that the workload would create.
	Template string `json:"template,omitempty"`

	addresses   []netip.Addr
	ports       policy.ContainerPorts
	hostNetwork bool
	// assigned is true if AssignAddresses assigned the addresses. The pod does not really have
	// them.
	assigned bool
}

// String returns the name of the pod, or the address if the end is not a pod.
func (e *End) String() string {
	switch {
	case e.Pod != "":
		return e.Pod
	case e.Address.IsValid():
		return e.Address.String()
	default:
		return e.addresses[0].String()
	}
}

// details returns the name of the pod with its address and its node. The text of an
// explanation contains these details.
func (e *End) details() string {
	switch {
	case e.Pod == "":
		return e.String()
	case e.Template != "":
		return fmt.Sprintf("%s (pod template of the %s)", e.Pod, e.Template)
	case e.Node == "":
		return fmt.Sprintf("%s (%s)", e.Pod, e.Address)
	default:
		return fmt.Sprintf("%s (%s on %s)", e.Pod, e.Address, e.Node)
	}
}

// parseAddress parses an IP address that the user specified in the given field of a question.
// The error message contains the name of the field. If the text is not an IP address, ok is
// false.
func parseAddress(field, text string) (a netip.Addr, ok bool, err error) {
	a, parseErr := netip.ParseAddr(text)
	if parseErr == nil && a.Zone() != "" {
		return a, false, question.Errorf(field, text, "give the address without its zone")
	}
	return a, parseErr == nil, nil
}

const wantEnd = "give a pod (name or namespace/name), a workload (such as deploy/web) or an IP address"
