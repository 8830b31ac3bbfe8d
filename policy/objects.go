package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy/internal/field"
	"github.com/sluicenet/sluice/policy/label"
)

// Pod contains the fields of a Pod object that affect policies.
type Pod struct {
	Namespace, Name, UID string
	// StaticUID is set if the object is the mirror pod of a static pod. It is the UID that
	// the kubelet and the container runtime use for the static pod.
	StaticUID string
	Labels    label.Set
	// Node is the name of the node to which the pod is bound, or "" if the pod is not bound
	// yet.
	Node string
	// Addresses contains status.podIPs. HostAddresses contains status.hostIPs.
	Addresses, HostAddresses []netip.Addr
	// Announced is true if Addresses contains the addresses that the network plugin announced
	// in an annotation of the Pod. This is possible only if status.podIPs is empty.
	Announced bool
	// Ports contains the named ports in the order in which a port name is looked up: first
	// the ports of containers, then the ports of init containers with restartPolicy Always.
	Ports ContainerPorts
	// DeclaredPorts contains the ports that the same containers declare, with and without names.
	// Containers can listen on other ports too, so these ports affect no verdict.
	DeclaredPorts PortSet
	// HostNetwork is true if the pod is in the host network. Such a pod uses the addresses of
	// its node, and no selector matches it.
	HostNetwork bool
	// Running is true if the phase is Running. Finished is true if the phase is Succeeded or
	// Failed.
	Running, Finished bool
	Created           time.Time
}

// String returns the name of the pod as "namespace/name".
func (p *Pod) String() string { return p.Namespace + "/" + p.Name }

// ContainerPorts are the named ports of a pod.
type ContainerPorts []ContainerPort

// ContainerPort is a named port of a container.
type ContainerPort struct {
	Name     string
	Protocol flow.Protocol
	Number   uint16
}

// Namespace contains the fields of a Namespace object that affect policies.
type Namespace struct {
	Name   string
	Labels label.Set
	// Terminating is true if the namespace is being deleted.
	Terminating bool
}

// Node contains the fields of a Node object that affect policies.
type Node struct {
	Name   string
	Labels label.Set
	// Addresses contains the addresses of type InternalIP and ExternalIP.
	Addresses []netip.Addr
	// PodRanges contains spec.podCIDRs.
	PodRanges []netip.Prefix
}

// ReadPod converts a Pod object. It skips invalid addresses and ports, and returns one error
// for each skipped entry.
func ReadPod(in *corev1.Pod) (*Pod, FieldErrors) {
	var r podReader
	p := &Pod{
		Namespace:     orDefault(in.Namespace),
		Name:          in.Name,
		UID:           string(in.UID),
		StaticUID:     in.Annotations[corev1.MirrorPodAnnotationKey],
		Labels:        label.Of(in.Labels),
		Node:          in.Spec.NodeName,
		Addresses:     addresses(&r, in.Status.PodIP, "status.podIP", in.Status.PodIPs, "podIPs", func(a corev1.PodIP) string { return a.IP }),
		HostAddresses: addresses(&r, in.Status.HostIP, "status.hostIP", in.Status.HostIPs, "hostIPs", func(a corev1.HostIP) string { return a.IP }),
		HostNetwork:   in.Spec.HostNetwork,
		Running:       in.Status.Phase == corev1.PodRunning,
		Finished:      in.Status.Phase == corev1.PodSucceeded || in.Status.Phase == corev1.PodFailed,
		Created:       in.CreationTimestamp.Time,
	}
	for i := range in.Spec.Containers {
		p.Ports = r.appendPorts(p.Ports, in.Spec.Containers[i].Ports, "spec.containers", i)
	}
	for i := range in.Spec.InitContainers {
		c := &in.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			p.Ports = r.appendPorts(p.Ports, c.Ports, "spec.initContainers", i)
		}
	}
	p.DeclaredPorts = PortSetOf(r.declared...)
	return p, r.errors
}

// podReader converts the parts of one Pod object and collects the errors. It also collects the valid
// ports, with and without names.
type podReader struct {
	errors   FieldErrors
	declared []ContainerPort
}

// addresses merges a single field, such as status.podIP, with the corresponding list, such as
// status.podIPs. The list normally contains the value of the single field too.
func addresses[T any](r *podReader, one, oneField string, many []T, list string, ip func(T) string) []netip.Addr {
	out := make([]netip.Addr, 0, max(len(many), 1))
	add := func(s string, at field.Path) {
		a, err := parseAddr(s)
		switch {
		case err != nil:
			r.errors.Add(at.String(), "%v", err)
		case !slices.Contains(out, a):
			out = append(out, a)
		}
	}
	if one != "" {
		add(one, field.Path{Parent: oneField})
	}
	for i, m := range many {
		add(ip(m), field.Path{Parent: "status", List: list, Index: i}.Child("ip"))
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
	case a.Zone() != "":
		return netip.Addr{}, fmt.Errorf("%q has a zone: write the address without %%%s", s, a.Zone())
	case a.Is4In6():
		return netip.Addr{}, fmt.Errorf("%q is an IPv4-mapped IPv6 address: write %s", s, a.Unmap())
	}
	return a, nil
}

func (r *podReader) appendPorts(out []ContainerPort, ports []corev1.ContainerPort, containers string, container int) []ContainerPort {
	for i, port := range ports {
		at := func(field string) string { return fmt.Sprintf("%s[%d].ports[%d].%s", containers, container, i, field) }
		protocol, known := ProtocolOf(port.Protocol)
		inRange := port.ContainerPort >= 1 && port.ContainerPort <= 65535
		read := ContainerPort{Name: port.Name, Protocol: protocol, Number: uint16(port.ContainerPort)}
		if known && inRange {
			r.declared = append(r.declared, read)
		}
		switch {
		case port.Name == "": // No policy refers to this port, so it need not be valid.
		case !inRange:
			r.errors.Add(at("containerPort"), "%d is not a port: want 1 to 65535", port.ContainerPort)
		case !known:
			r.errors.Add(at("protocol"), "%q: want TCP, UDP or SCTP", port.Protocol)
		default:
			out = append(out, read)
		}
	}
	return out
}

// ReadNamespace converts a Namespace object.
func ReadNamespace(in *corev1.Namespace) Namespace {
	return Namespace{Name: in.Name, Labels: label.Of(in.Labels), Terminating: in.DeletionTimestamp != nil}
}

// ReadNode converts a Node object. It skips fields with invalid addresses, and returns one
// error for each skipped field.
func ReadNode(in *corev1.Node) (Node, FieldErrors) {
	n := Node{Name: in.Name, Labels: label.Of(in.Labels)}
	var errors FieldErrors
	for i, a := range in.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue
		}
		addr, err := parseAddr(a.Address)
		if err != nil {
			errors.Add(fmt.Sprintf("status.addresses[%d].address", i), "%v", err)
			continue
		}
		n.Addresses = append(n.Addresses, addr)
	}
	for i, text := range in.Spec.PodCIDRs {
		r, err := netip.ParsePrefix(text)
		if err != nil {
			errors.Add(fmt.Sprintf("spec.podCIDRs[%d]", i), "%q is not a CIDR", text)
			continue
		}
		n.PodRanges = append(n.PodRanges, r)
	}
	return n, errors
}

func orDefault(namespace string) string {
	if namespace == "" {
		return corev1.NamespaceDefault
	}
	return namespace
}

// live reports whether policies and peers can match the pod. The pod must be in the pod
// network, must have an address, and must not have finished.
func (p *Pod) live() bool { return p.selectable() && len(p.Addresses) > 0 }

// Equal reports whether two states of a pod have the same effect on every policy.
func (p *Pod) Equal(q *Pod) bool {
	return p.Node == q.Node && p.HostNetwork == q.HostNetwork && p.Running == q.Running && p.Finished == q.Finished &&
		p.UID == q.UID && p.StaticUID == q.StaticUID && p.Announced == q.Announced && p.Created.Equal(q.Created) &&
		slices.Equal(p.Addresses, q.Addresses) && slices.Equal(p.HostAddresses, q.HostAddresses) &&
		slices.Equal(p.Ports, q.Ports) && p.Labels == q.Labels
}

// Number returns the number of a named port, or 0 if no port has that name and protocol.
func (p ContainerPorts) Number(protocol flow.Protocol, name string) uint16 {
	for _, port := range p {
		if port.Protocol == protocol && port.Name == name {
			return port.Number
		}
	}
	return 0
}

// ProtocolOf converts the protocol of a port. If the protocol is empty, ProtocolOf returns
// TCP, which is also the default of the API server. If the protocol is unknown, ok is false.
func ProtocolOf(p corev1.Protocol) (flow.Protocol, bool) {
	switch p {
	case corev1.ProtocolTCP, "":
		return flow.TCP, true
	case corev1.ProtocolUDP:
		return flow.UDP, true
	case corev1.ProtocolSCTP:
		return flow.SCTP, true
	default:
		return 0, false
	}
}
