// Package service contains the parts of Services, EndpointSlices and Endpoints that determine the
// backends of a Service. Policies do not refer to Services. A policy is evaluated for the address
// and the port of a backend.
package service

import (
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// Service contains the fields of a Service object that determine its backends.
type Service struct {
	Namespace, Name string
	// Addresses contains the virtual addresses of the Service: spec.clusterIPs, followed by
	// spec.externalIPs and the addresses of its load balancer. It is empty if the Service is
	// headless or has a type of ExternalName.
	Addresses []netip.Addr
	// ClusterIPs contains the addresses of spec.clusterIPs.
	ClusterIPs []netip.Addr
	// Headless is true if spec.clusterIP is None. Clients of such a Service connect to the
	// addresses of the backends, so ports are not translated.
	Headless bool
	// ExternalName is the DNS name for which a Service of type ExternalName is an alias. For
	// other types, it is empty.
	ExternalName string
	// Selector selects the pods of the namespace that are the backends. If it is not present,
	// the backends are only in EndpointSlices or Endpoints.
	Selector label.Selector
	Ports    []Port
}

// Port is one entry of spec.ports of a Service.
type Port struct {
	// Name is empty if the Service has a single port without a name.
	Name     string
	Protocol flow.Protocol
	// Number is the port of the Service.
	Number uint16
	// NodePort is the port of the Service on the addresses of the nodes, or 0 if the Service has no
	// such port.
	NodePort uint16
	// If TargetName is not empty, it is the name of a container port, and Target is 0.
	// Otherwise Target is the port of the backends.
	Target     uint16
	TargetName string
}

// Slice is an EndpointSlice, or one subset of an Endpoints object.
type Slice struct {
	Namespace string
	// Service is the name of the Service to which the slice belongs.
	Service string
	// Legacy is true if the slice was read from an Endpoints object.
	Legacy    bool
	Ports     []SlicePort
	Endpoints []Endpoint
}

// SlicePort is a port of all endpoints of a slice. Name is the name of the port of the Service.
type SlicePort struct {
	Name     string
	Protocol flow.Protocol
	Number   uint16
}

// Endpoint is an address of a backend.
type Endpoint struct {
	Address netip.Addr
	// Pod is the name of the pod, or "" if the endpoint is not a pod.
	Pod string
	// Ready is false if the cluster sends no connections to the endpoint.
	Ready bool
}

// String returns the namespace and the name in the format "namespace/name".
func (s *Service) String() string { return s.Namespace + "/" + s.Name }

// Selects reports whether the selector of the Service selects a pod that has not finished.
// Unlike a policy, a Service also selects pods in the host network.
func (s *Service) Selects(p *policy.Pod) bool {
	return s.Selector.Present() && !s.Selector.Empty() && p.Namespace == s.Namespace && !p.Finished && s.Selector.Matches(p.Labels)
}

// apiServerLabel is the label with which kubeadm marks the static pods of the API server.
const apiServerLabel = "component"

// APIServerPods describes the pods for which IsAPIServer returns true.
const APIServerPods = apiServerLabel + "=kube-apiserver in namespace kube-system"

// IsOfAPIServer reports whether the Service is default/kubernetes. This Service has no selector,
// because API servers write its EndpointSlices.
func (s *Service) IsOfAPIServer() bool { return s.Namespace == "default" && s.Name == "kubernetes" }

// IsAPIServer reports whether a pod is an API server.
func IsAPIServer(p *policy.Pod) bool {
	return p.Namespace == "kube-system" && p.Labels.Get(apiServerLabel) == "kube-apiserver" && !p.Finished
}

// SlicesOf returns the EndpointSlices of a Service. If there are none, it returns the slices of its
// Endpoints object.
func SlicesOf(all []*Slice, s *Service) []*Slice {
	var found, legacy []*Slice
	for _, slice := range all {
		switch {
		case slice.Namespace != s.Namespace || slice.Service != s.Name:
		case slice.Legacy:
			legacy = append(legacy, slice)
		default:
			found = append(found, slice)
		}
	}
	if len(found) == 0 {
		return legacy
	}
	return found
}

// TargetOf returns the port of a pod to which the Service translates the port p. If the pod does
// not define the name of the port, the result is 0.
func (p *Port) TargetOf(pod *policy.Pod) uint16 {
	if p.TargetName != "" {
		return pod.Ports.Number(p.Protocol, p.TargetName)
	}
	return p.Target
}

// String describes the port, such as "TCP 80" or "TCP 80 (http)".
func (p *Port) String() string {
	if p.Name == "" {
		return fmt.Sprintf("%s %d", p.Protocol, p.Number)
	}
	return fmt.Sprintf("%s %d (%s)", p.Protocol, p.Number, p.Name)
}
