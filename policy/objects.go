package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Pod is what matters of a corev1.Pod.
type Pod struct {
	Namespace, Name, UID string
	Labels               Labels
	// Node is the node the pod is bound to, "" before it is.
	Node string
	// Addresses are status.podIPs, HostAddresses status.hostIPs.
	Addresses, HostAddresses []netip.Addr
	// Ports are the named ports of the pod, in the order in which a name is
	// looked up: containers first, then init containers that restart Always.
	Ports []ContainerPort
	// HostNetwork pods have their node's addresses and are nobody's peer.
	HostNetwork bool
	// Running is phase Running, Finished is phase Succeeded or Failed.
	Running, Finished bool
	Created           time.Time
}

// ContainerPort is one named container port.
type ContainerPort struct {
	Name string
	// Protocol is an IP protocol number.
	Protocol uint8
	Number   uint16
}

// Namespace is what matters of a corev1.Namespace.
type Namespace struct {
	Name   string
	Labels Labels
}

// Node is what matters of a corev1.Node.
type Node struct {
	Name string
	// Addresses are those of type InternalIP and ExternalIP.
	Addresses []netip.Addr
}

// PodOf reduces a pod. The error names the first field that holds no address or
// no port. The pod that comes with it has all that could be read.
func PodOf(in *corev1.Pod) (Pod, error) {
	var r partReader
	p := Pod{
		Namespace:     orDefault(in.Namespace),
		Name:          in.Name,
		UID:           string(in.UID),
		Labels:        LabelsOf(in.Labels),
		Node:          in.Spec.NodeName,
		Addresses:     podAddresses(&r, in.Status.PodIP, "status.podIP", in.Status.PodIPs, "status.podIPs", func(a corev1.PodIP) string { return a.IP }),
		HostAddresses: podAddresses(&r, in.Status.HostIP, "status.hostIP", in.Status.HostIPs, "status.hostIPs", func(a corev1.HostIP) string { return a.IP }),
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
	return p, r.err
}

// partReader reads the parts of an object. What cannot be read is left out; err
// is the first reason.
type partReader struct{ err error }

func (r *partReader) fault(err error) {
	if r.err == nil {
		r.err = err
	}
}

// podAddresses joins the singular field and the list that repeats it.
func podAddresses[T any](r *partReader, one, oneField string, many []T, manyField string, ip func(T) string) []netip.Addr {
	out := make([]netip.Addr, 0, max(len(many), 1))
	add := func(s, field string) {
		a, err := parseAddr(s)
		switch {
		case err != nil:
			r.fault(fmt.Errorf("%s: %w", field, err))
		case !slices.Contains(out, a):
			out = append(out, a)
		}
	}
	if one != "" {
		add(one, oneField)
	}
	for i, m := range many {
		add(ip(m), fmt.Sprintf("%s[%d].ip", manyField, i))
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

func (r *partReader) appendPorts(out []ContainerPort, ports []corev1.ContainerPort, field string, container int) []ContainerPort {
	for i, port := range ports {
		if port.Name == "" {
			continue
		}
		at := fmt.Sprintf("%s[%d].ports[%d]", field, container, i)
		proto, ok := protocolOf(port.Protocol)
		switch {
		case port.ContainerPort < 1 || port.ContainerPort > 65535:
			r.fault(fmt.Errorf("%s.containerPort: %d is not a port: want 1 to 65535", at, port.ContainerPort))
		case !ok:
			r.fault(fmt.Errorf("%s.protocol: %q: want TCP, UDP or SCTP", at, port.Protocol))
		default:
			out = append(out, ContainerPort{Name: port.Name, Protocol: proto, Number: uint16(port.ContainerPort)})
		}
	}
	return out
}

// protocolOf gives the IP protocol number; absent is TCP, as the API server
// defaults it.
func protocolOf(p corev1.Protocol) (uint8, bool) {
	switch p {
	case corev1.ProtocolTCP, "":
		return uint8(flow.TCP), true
	case corev1.ProtocolUDP:
		return uint8(flow.UDP), true
	case corev1.ProtocolSCTP:
		return uint8(flow.SCTP), true
	default:
		return 0, false
	}
}

// NamespaceOf reduces a namespace.
func NamespaceOf(in *corev1.Namespace) Namespace {
	return Namespace{Name: in.Name, Labels: LabelsOf(in.Labels)}
}

// NodeOf reduces a node. The error names the first field that holds no address.
// The node that comes with it has the other addresses.
func NodeOf(in *corev1.Node) (Node, error) {
	var r partReader
	n := Node{Name: in.Name}
	for i, a := range in.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue
		}
		addr, err := parseAddr(a.Address)
		if err != nil {
			r.fault(fmt.Errorf("status.addresses[%d].address: %w", i, err))
			continue
		}
		n.Addresses = append(n.Addresses, addr)
	}
	return n, r.err
}

func orDefault(namespace string) string {
	if namespace == "" {
		return corev1.NamespaceDefault
	}
	return namespace
}

// equal reports whether two states of a pod mean the same to every policy.
func (p *Pod) equal(q *Pod) bool {
	return p.Node == q.Node && p.HostNetwork == q.HostNetwork && p.Running == q.Running && p.Finished == q.Finished &&
		p.UID == q.UID && p.Created.Equal(q.Created) &&
		slices.Equal(p.Addresses, q.Addresses) && slices.Equal(p.HostAddresses, q.HostAddresses) &&
		slices.Equal(p.Ports, q.Ports) && p.Labels == q.Labels
}

// port resolves a port name, 0 when the pod has none of that name.
func port(ports []ContainerPort, protocol uint8, name string) uint16 {
	for _, p := range ports {
		if p.Protocol == protocol && p.Name == name {
			return p.Number
		}
	}
	return 0
}
