package service

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// Read converts a Service object. It skips invalid addresses and ports, and returns one error for
// each skipped entry.
func Read(in *corev1.Service) (*Service, policy.FieldErrors) {
	r := reader{}
	s := &Service{Namespace: cmp.Or(in.Namespace, corev1.NamespaceDefault), Name: in.Name}
	switch {
	case in.Spec.Type == corev1.ServiceTypeExternalName:
		s.ExternalName = in.Spec.ExternalName
		return s, nil
	case in.Spec.ClusterIP == corev1.ClusterIPNone:
		s.Headless = true
	default:
		s.Addresses, s.ClusterIPs = r.addresses(in)
	}
	if len(in.Spec.Selector) > 0 {
		s.Selector = selector(in.Spec.Selector)
	}
	for i := range in.Spec.Ports {
		r.port(s, i, &in.Spec.Ports[i])
	}
	return s, r.errors
}

func selector(in map[string]string) label.Selector {
	var requirements []label.Requirement
	for key, value := range in {
		requirements = append(requirements, label.Requirement{Key: key, Operator: selection.Equals, Values: []string{value}})
	}
	return label.NewSelector(requirements)
}

// reader converts parts of an object and collects the errors.
type reader struct{ errors policy.FieldErrors }

// addresses returns all virtual addresses of a Service, and the part from spec.clusterIPs.
func (r *reader) addresses(in *corev1.Service) (out, clusterIPs []netip.Addr) {
	add := func(field, text string) {
		if text == "" {
			return
		}
		if a, ok := r.address(field, text); ok && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	add("spec.clusterIP", in.Spec.ClusterIP)
	for i, text := range in.Spec.ClusterIPs {
		add(fmt.Sprintf("spec.clusterIPs[%d]", i), text)
	}
	clusterIPs = slices.Clip(out)
	for i, text := range in.Spec.ExternalIPs {
		add(fmt.Sprintf("spec.externalIPs[%d]", i), text)
	}
	for i := range in.Status.LoadBalancer.Ingress {
		ingress := &in.Status.LoadBalancer.Ingress[i]
		// With the mode Proxy, nodes do not translate the address. The load balancer does.
		if ingress.IPMode == nil || *ingress.IPMode != corev1.LoadBalancerIPModeProxy {
			add(fmt.Sprintf("status.loadBalancer.ingress[%d].ip", i), ingress.IP)
		}
	}
	return out, clusterIPs
}

func (r *reader) address(field, text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		r.errors.Add(field, "%q is not an IP address", text)
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

func (r *reader) port(s *Service, i int, in *corev1.ServicePort) {
	at := func(field string) string { return fmt.Sprintf("spec.ports[%d].%s", i, field) }
	protocol, ok := r.protocol(at("protocol"), in.Protocol)
	if !ok || !r.number(at("port"), in.Port) {
		return
	}
	p := Port{Name: in.Name, Protocol: protocol, Number: uint16(in.Port)}
	if in.NodePort != 0 && r.number(at("nodePort"), in.NodePort) {
		p.NodePort = uint16(in.NodePort)
	}
	switch target := in.TargetPort; {
	case target.StrVal != "":
		p.TargetName = target.StrVal
	case target.IntVal == 0:
		p.Target = p.Number
	case !r.number(at("targetPort"), target.IntVal):
		return
	default:
		p.Target = uint16(target.IntVal)
	}
	s.Ports = append(s.Ports, p)
}

func (r *reader) protocol(field string, in corev1.Protocol) (flow.Protocol, bool) {
	protocol, ok := policy.ProtocolOf(in)
	if !ok {
		r.errors.Add(field, "%q: want TCP, UDP or SCTP", in)
	}
	return protocol, ok
}

func (r *reader) number(field string, port int32) bool {
	if port < 1 || port > 65535 {
		r.errors.Add(field, "%d is not a port: want 1 to 65535", port)
		return false
	}
	return true
}

// ReadSlice converts an EndpointSlice object. It skips invalid addresses and ports, and returns one
// error for each skipped entry. If the addresses are domain names, the result has no endpoints.
func ReadSlice(in *discoveryv1.EndpointSlice) (*Slice, policy.FieldErrors) {
	r := reader{}
	s := &Slice{Namespace: cmp.Or(in.Namespace, corev1.NamespaceDefault), Service: in.Labels[discoveryv1.LabelServiceName]}
	for i := range in.Ports {
		p := &in.Ports[i]
		if p.Port != nil {
			r.slicePort(s, fmt.Sprintf("ports[%d]", i), deref(p.Name), deref(p.Protocol), *p.Port)
		}
	}
	if in.AddressType == discoveryv1.AddressTypeFQDN {
		return s, r.errors
	}
	for i := range in.Endpoints {
		e := &in.Endpoints[i]
		ready := e.Conditions.Ready == nil || *e.Conditions.Ready
		for j, text := range e.Addresses {
			if a, ok := r.address(fmt.Sprintf("endpoints[%d].addresses[%d]", i, j), text); ok {
				s.Endpoints = append(s.Endpoints, Endpoint{Address: a, Pod: podOf(e.TargetRef), Ready: ready})
			}
		}
	}
	return s, r.errors
}

func (r *reader) slicePort(s *Slice, field, name string, in corev1.Protocol, number int32) {
	if protocol, ok := r.protocol(field+".protocol", in); ok && r.number(field+".port", number) {
		s.Ports = append(s.Ports, SlicePort{Name: name, Protocol: protocol, Number: uint16(number)})
	}
}

func deref[T any](p *T) (v T) {
	if p != nil {
		return *p
	}
	return v
}

// ReadEndpoints converts an Endpoints object to one slice for each subset. It skips invalid
// addresses and ports, and returns one error for each skipped entry.
func ReadEndpoints(in *corev1.Endpoints) ([]*Slice, policy.FieldErrors) { //nolint:staticcheck // Clusters and dumps still contain Endpoints.
	r := reader{}
	var out []*Slice
	for i := range in.Subsets {
		subset := &in.Subsets[i]
		s := &Slice{Namespace: cmp.Or(in.Namespace, corev1.NamespaceDefault), Service: in.Name, Legacy: true}
		for j := range subset.Ports {
			p := &subset.Ports[j]
			r.slicePort(s, fmt.Sprintf("subsets[%d].ports[%d]", i, j), p.Name, p.Protocol, p.Port)
		}
		r.endpoints(s, fmt.Sprintf("subsets[%d].addresses", i), subset.Addresses, true)
		r.endpoints(s, fmt.Sprintf("subsets[%d].notReadyAddresses", i), subset.NotReadyAddresses, false)
		out = append(out, s)
	}
	return out, r.errors
}

func (r *reader) endpoints(s *Slice, field string, in []corev1.EndpointAddress, ready bool) {
	for i := range in {
		if a, ok := r.address(fmt.Sprintf("%s[%d].ip", field, i), in[i].IP); ok {
			s.Endpoints = append(s.Endpoints, Endpoint{Address: a, Pod: podOf(in[i].TargetRef), Ready: ready})
		}
	}
}

func podOf(ref *corev1.ObjectReference) string {
	if ref == nil || ref.Kind != "Pod" {
		return ""
	}
	return ref.Name
}
