package check

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/dns"
	"github.com/sluicenet/sluice/policy/service"
)

// ServiceAddress is a virtual address of a Service. Nodes translate it to the address of a backend
// before policies apply.
type ServiceAddress struct {
	Addr    netip.Addr
	Service *service.Service
	// IsDNS is true if the Service is the DNS Service of the cluster.
	IsDNS bool
}

// DNSServer is a pod in the pod network that is a DNS server of the cluster.
type DNSServer struct {
	*policy.Pod
	// UDPPort is the port on which the server listens.
	UDPPort uint16
}

// AddServices adds Services and their EndpointSlices.
func (c *Cluster) AddServices(services []*service.Service, endpoints []*service.Slice) {
	for _, s := range services {
		space := c.Space(s.Namespace)
		space.services = append(space.services, s)
	}
	c.services, c.endpoints = services, endpoints
}

// AddNode adds the addresses of a node.
func (c *Cluster) AddNode(n *policy.Node) {
	for _, a := range n.Addresses {
		c.nodeAddresses[a] = true
	}
}

// indexServices completes the indexes of Services. The indexes of pods must be complete.
func (c *Cluster) indexServices() {
	for _, s := range c.services {
		isDNS := c.indexDNS(s)
		for _, a := range s.Addresses {
			if !c.nodeAddresses[a] && !c.isPodAddress(a) {
				c.serviceAddresses = append(c.serviceAddresses, ServiceAddress{a, s, isDNS})
			}
		}
	}
	slices.SortStableFunc(c.serviceAddresses, func(a, b ServiceAddress) int { return a.Addr.Compare(b.Addr) })
}

// isPodAddress reports whether a pod has an address. Load balancers and external addresses of Services
// can be addresses of pods or nodes.
func (c *Cluster) isPodAddress(a netip.Addr) bool {
	_, found := slices.BinarySearchFunc(c.addresses, a, func(have podAddress, want netip.Addr) int { return have.addr.Compare(want) })
	return found
}

// indexDNS reports whether a Service is a DNS Service of the cluster. If so, it marks the pods behind
// the Service as DNS servers, and sets the port on which they listen.
func (c *Cluster) indexDNS(s *service.Service) bool {
	at := slices.IndexFunc(s.Ports, func(p service.Port) bool { return p.Protocol == flow.UDP && p.Number == dns.ServicePort })
	if at < 0 || s.Headless {
		return false
	}
	var behind []*Group
	isDNS := dns.IsSystem(s.Namespace)
	for _, g := range c.Space(s.Namespace).Groups {
		if s.Selects(g.Pods[0]) {
			behind = append(behind, g)
			isDNS = isDNS || g.IsDNSServer
		}
	}
	if !isDNS {
		return false
	}
	for _, g := range behind {
		g.IsDNSServer = true
		if target := s.Ports[at].TargetOf(g.Pods[0]); target != 0 {
			g.DNSPort = target
		}
	}
	return true
}

// indexDNSServers lists the DNS servers. All groups must be marked.
func (c *Cluster) indexDNSServers() {
	for _, s := range c.WithPods {
		for _, g := range s.Groups {
			if !g.IsDNSServer {
				continue
			}
			for _, pod := range g.Pods {
				c.DNSServers = append(c.DNSServers, DNSServer{pod, g.DNSPort})
			}
		}
	}
}

// ServicesInBlock returns an iterator over the addresses of Services in a block, in ascending order.
func (p *Pass) ServicesInBlock(b *policy.Block) iter.Seq[ServiceAddress] {
	return func(yield func(ServiceAddress) bool) {
		if len(p.serviceAddresses) == 0 || !p.Spend(searchWork) {
			return
		}
		from, _ := slices.BinarySearchFunc(p.serviceAddresses, b.CIDR.Prefix.Addr(), func(a ServiceAddress, target netip.Addr) int { return a.Addr.Compare(target) })
		for _, a := range p.serviceAddresses[from:] {
			if !b.CIDR.Prefix.Contains(a.Addr) || !p.Spend(10*(1+len(b.Except))) {
				return
			}
			if b.Contains(a.Addr) && !yield(a) {
				return
			}
		}
	}
}

// DNSServiceAddress returns the lowest address of the DNS Service. If the input contains no such
// Service, the result is not valid.
func (c *Cluster) DNSServiceAddress() netip.Addr {
	for _, a := range c.serviceAddresses {
		if a.IsDNS {
			return a.Addr
		}
	}
	return netip.Addr{}
}

// AnyNodeIn reports whether a block contains an address of a node.
func (p *Pass) AnyNodeIn(b *policy.Block) bool {
	for a := range p.nodeAddresses {
		if !p.Spend(10*(1+len(b.Except))) || b.Contains(a) {
			return true
		}
	}
	return false
}

// ServicesOf returns the Services that lead to the pods of a group. In a run with ScopeNamespace, the
// Services are not available, and the result is empty.
func (p *Pass) ServicesOf(g *Group) []*service.Service {
	if g.services != nil || len(g.Namespace.services) == 0 {
		return g.services
	}
	found := []*service.Service{}
	for _, s := range g.Namespace.services {
		if p.Spend(20+s.Selector.Size()+s.Selector.Size()*g.Labels.Size()/8) && s.Selects(g.Pods[0]) {
			found = append(found, s)
		}
	}
	if !p.Stopped {
		g.services = found
	}
	return found
}

// Backends describes the backends of a Service.
type Backends struct {
	// Groups contains the groups of pods in the pod network, and HostPods the pods in the host
	// network.
	Groups   []*Group
	HostPods []*policy.Pod
	// Addresses contains the addresses of endpoints in EndpointSlices, if the Service has no selector.
	Addresses []netip.Addr
	// ports contains the ports of the EndpointSlices.
	ports []service.SlicePort
}

// BackendsOf returns the backends of a Service.
func (p *Pass) BackendsOf(s *service.Service) (out Backends) {
	space, selects := p.Space(s.Namespace), s.Selects
	if s.IsOfAPIServer() {
		space, selects = p.Space(dns.Namespace), service.IsAPIServer
	}
	for _, g := range space.Groups {
		if p.Spend(50) && selects(g.Pods[0]) {
			out.Groups = append(out.Groups, g)
		}
	}
	for _, pod := range space.HostPods {
		if p.Spend(50) && selects(pod) {
			out.HostPods = append(out.HostPods, pod)
		}
	}
	if s.Selector.Present() || !p.Spend(10*len(p.endpoints)) {
		return out
	}
	for _, slice := range service.SlicesOf(p.endpoints, s) {
		out.ports = append(out.ports, slice.Ports...)
		for _, e := range slice.Endpoints {
			out.Addresses = append(out.Addresses, e.Address)
		}
	}
	return out
}

// TargetOf returns the port of the backends to which the Service translates its port, or 0 if the port
// is unknown.
func (b *Backends) TargetOf(port *service.Port) uint16 {
	for _, have := range b.ports {
		if have.Name == port.Name && have.Protocol == port.Protocol {
			return have.Number
		}
	}
	if len(b.Groups) > 0 {
		return port.TargetOf(b.Groups[0].Pods[0])
	}
	return cmp.Or(port.Target, b.hostTarget(port))
}

// hostTarget returns the port of a backend in the host network, or 0 if there is no such backend.
func (b *Backends) hostTarget(port *service.Port) uint16 {
	if len(b.HostPods) == 0 {
		return 0
	}
	return port.TargetOf(b.HostPods[0])
}
