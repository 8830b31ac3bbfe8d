package target

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy/service"
)

// Backend is an end to which connections to a Service lead.
type Backend struct {
	// Pod is "namespace/name", or "" if the backend is not a pod of the set.
	Pod string `json:"pod,omitempty"`
	// Address is the address of the backend. It is not valid if the backends were found by the
	// selector of the Service. In this case, the backend has the addresses of the pod.
	Address netip.Addr `json:"address,omitzero"`
	// Port is the port of the backend.
	Port uint16 `json:"port"`
}

// FindPort returns the port of a Service that has the given number or name. If the Service is
// headless, the number need not be a port of the Service, because ports are not translated.
func FindPort(s *service.Service, protocol flow.Protocol, text string) (service.Port, error) {
	number, err := strconv.ParseUint(text, 10, 16)
	isNumber := err == nil
	if s.ExternalName != "" {
		return service.Port{}, fmt.Errorf("the Service %s has the type ExternalName: it is an alias for the DNS name %s, and policies apply to the addresses to which this name resolves; "+
			"give one of these addresses", s, s.ExternalName)
	}
	if s.Headless && isNumber {
		return service.Port{Protocol: protocol, Number: uint16(number), Target: uint16(number)}, nil
	}
	var have []string
	advice := ""
	for _, p := range s.Ports {
		if p.Protocol == protocol && (isNumber && uint64(p.Number) == number || !isNumber && p.Name == text) {
			return p, nil
		}
		if isNumber && uint64(p.Number) == number || !isNumber && p.Name == text {
			advice = fmt.Sprintf("; use port %d/%s", p.Number, p.Protocol)
		}
		have = append(have, p.String())
	}
	if len(have) == 0 {
		return service.Port{}, fmt.Errorf("the Service %s has no ports", s)
	}
	return service.Port{}, fmt.Errorf("the Service %s has no %s port %s; it has %s%s", s, protocol, text, strings.Join(have, ", "), advice)
}

// Backends returns the backends of a port of a Service. It reads them from the EndpointSlices of
// the Service. If the Service has no EndpointSlices, it uses the selector of the Service. If there
// are no backends, the error states why.
func Backends(set *inventory.Set, s *service.Service, p *service.Port) ([]Backend, error) {
	if slices := service.SlicesOf(set.Slices, s); len(slices) > 0 {
		return fromSlices(s, p, slices)
	}
	selects, description := s.Selects, fmt.Sprintf("%s in namespace %s", s.Selector, s.Namespace)
	if !s.Selector.Present() {
		if !s.IsOfAPIServer() {
			return nil, fmt.Errorf("the Service %[1]s has no selector, and the input contains no EndpointSlices of it, so its backends are unknown; "+
				"add them (kubectl get endpointslices -n %[2]s -o yaml), or give the address and the port of a backend", s, s.Namespace)
		}
		selects, description = service.IsAPIServer, service.APIServerPods+", and the input contains no EndpointSlices"
	}
	var out []Backend
	var names int
	for i := range set.Pods {
		pod := &set.Pods[i].Pod
		if !selects(pod) {
			continue
		}
		if port := p.TargetOf(pod); port != 0 {
			out = append(out, Backend{Pod: pod.String(), Port: port})
		} else {
			names++
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case names > 0:
		return nil, fmt.Errorf("the Service %s has no backends for its port %s: no pod that it selects has a %s port named %q; connections to it fail, regardless of policies",
			s, p, p.Protocol, p.TargetName)
	}
	return nil, fmt.Errorf("the Service %s has no backends: no pod has %s; connections to it fail, regardless of policies", s, description)
}

func fromSlices(s *service.Service, p *service.Port, list []*service.Slice) ([]Backend, error) {
	var out []Backend
	endpoints := 0
	for _, slice := range list {
		at := slices.IndexFunc(slice.Ports, func(have service.SlicePort) bool { return have.Name == p.Name && have.Protocol == p.Protocol })
		port := p.Target
		switch {
		case at >= 0 && !(s.Headless && p.Target != 0):
			port = slice.Ports[at].Number
		case !s.Headless || port == 0:
			continue
		}
		for _, e := range slice.Endpoints {
			endpoints++
			b := Backend{Address: e.Address, Port: port}
			if e.Pod != "" {
				b.Pod = s.Namespace + "/" + e.Pod
			}
			if e.Ready && !slices.ContainsFunc(out, func(have Backend) bool { return have == b || have.Pod != "" && have.Pod == b.Pod }) {
				out = append(out, b)
			}
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case endpoints > 0:
		return nil, fmt.Errorf("none of the endpoints of Service %s is ready; connections to it fail, regardless of policies", s)
	}
	return nil, fmt.Errorf("the Service %s has no backends for its port %s: its EndpointSlices contain no endpoints; connections to it fail, regardless of policies", s, p)
}
