package query

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/policy"
)

// End is one end of a flow: a pod, or an address that does not belong to a pod.
type End struct {
	// Pod is "namespace/name", or "" if the address does not belong to a pod.
	Pod string `json:"pod,omitempty"`
	// Node is the node that the pod is bound to.
	Node string `json:"node,omitempty"`
	// Address is the address with which flows are evaluated. For a pod with an IPv4 and an
	// IPv6 address, it is the IPv4 address if the other end also has an IPv4 address.
	Address netip.Addr `json:"address"`

	addresses   []netip.Addr
	ports       policy.ContainerPorts
	hostNetwork bool
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
	case e.Node == "":
		return fmt.Sprintf("%s (%s)", e.Pod, e.Address)
	default:
		return fmt.Sprintf("%s (%s on %s)", e.Pod, e.Address, e.Node)
	}
}

// chooseFamily sets the Address of both ends to addresses of one family: IPv4 if
// both ends have an IPv4 address, otherwise IPv6.
func chooseFamily(from, to *End) error {
	src, dst, ok := sameFamily(from.addresses, to.addresses)
	if !ok {
		return inputErrorf("", "", "%s and %s have no address family in common", from, to)
	}
	from.Address, to.Address = src, dst
	return nil
}

// sameFamily returns one address from each list. Both addresses are IPv4 if both
// lists contain an IPv4 address, otherwise both are IPv6. ok is false if the lists
// have no family in common.
func sameFamily(from, to []netip.Addr) (src, dst netip.Addr, ok bool) {
	for _, four := range []bool{true, false} {
		family := func(a netip.Addr) bool { return a.Is4() == four }
		i, j := slices.IndexFunc(from, family), slices.IndexFunc(to, family)
		if i >= 0 && j >= 0 {
			return from[i], to[j], true
		}
	}
	return netip.Addr{}, netip.Addr{}, false
}

// parseAddress parses an IP address that the user specified in the given field of a question.
// The error message contains the name of the field. If the text is not an IP address, ok is
// false.
func parseAddress(field, text string) (a netip.Addr, ok bool, err error) {
	a, parseErr := netip.ParseAddr(text)
	if parseErr == nil && a.Zone() != "" {
		return a, false, inputErrorf(field, text, "give the address without its zone")
	}
	return a, parseErr == nil, nil
}

const wantEnd = "give a pod (name or namespace/name) or an IP address"

// maxNames is the maximum number of names in the result of the function `few`.
const maxNames = 5

// few joins names with commas. If there are more than maxNames, it joins the first ones and appends
// the number of remaining names.
func few(names []string) string {
	if len(names) > maxNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), len(names)-maxNames)
	}
	return strings.Join(names, ", ")
}

// number returns a number and a noun, such as "1 policy" or "2 policies".
func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
