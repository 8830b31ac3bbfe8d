package query

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/service"
	"github.com/sluicenet/sluice/query/internal/phrase"
	"github.com/sluicenet/sluice/query/question"
	"github.com/sluicenet/sluice/query/target"
)

// ServiceEnd is a Service to which a client connects, and its backends.
type ServiceEnd struct {
	// Name is "namespace/name".
	Name string `json:"name"`
	// Address is the address of the Service that the user specified.
	Address  netip.Addr `json:"address,omitzero"`
	Headless bool       `json:"headless,omitempty"`
	Protocol string     `json:"protocol"`
	// Port is the port of the Service, and PortName its name.
	Port     uint16           `json:"port"`
	PortName string           `json:"portName,omitempty"`
	Backends []target.Backend `json:"backends"`
}

// findService returns the Service that a question specifies as the destination, by name or by
// address. If the destination is not a Service, the result is nil. If the destination is an
// address, the second result is this address.
func (c *Cluster) findService(q *ExplainQuestion) (*service.Service, netip.Addr, error) {
	if address, err := netip.ParseAddr(q.To); err == nil {
		if _, owned := c.snapshot.Owner(address); owned {
			return nil, address, nil
		}
		at := slices.IndexFunc(c.set.Services, func(s *service.Service) bool { return slices.Contains(s.Addresses, address) })
		if at < 0 {
			return nil, address, nil
		}
		return c.set.Services[at], address, nil
	}
	ref := c.parseRef(q.To, q.Namespace)
	if ref.Kind != target.Service && (ref.Kind != "" || len(c.podsOf(ref)) > 0) {
		return nil, netip.Addr{}, nil
	}
	var found []*service.Service
	var names []string
	for _, s := range c.set.Services {
		if s.Name == ref.Name && (ref.Namespace == "" || ref.Namespace == s.Namespace) {
			found, names = append(found, s), append(names, s.String())
		}
	}
	switch {
	case len(found) == 1:
		return found[0], netip.Addr{}, nil
	case len(found) > 1:
		return nil, netip.Addr{}, question.Errorf("to", q.To, "there are several: %s; give namespace/name", phrase.Few(names))
	case ref.Kind == target.Service:
		return nil, netip.Addr{}, question.Errorf("to", q.To, "no Service of that name; %s", c.existingServices())
	}
	return nil, netip.Addr{}, nil
}

func (c *Cluster) existingServices() string {
	var names []string
	for _, s := range c.set.Services {
		names = append(names, s.String())
	}
	slices.Sort(names)
	return "there " + are(names)
}

// explainService explains the flow to each backend of a Service. If the user specified the Service
// by name, the `address` parameter is not valid.
func (c *Cluster) explainService(q *ExplainQuestion, from *End, s *service.Service, address netip.Addr) (*Explanation, error) {
	protocol, port, err := q.Split()
	switch {
	case err != nil:
		return nil, err
	case !protocol.HasPorts():
		return nil, question.Errorf("to", q.To, "a Service forwards only TCP, UDP and SCTP, not %s; give one of its pods", protocol)
	case port == "":
		return nil, question.Errorf("port", "", "give a port of Service %s", s)
	}
	p, err := target.FindPort(s, protocol, port)
	if err != nil {
		return nil, question.Errorf("to", q.To, "%s", err)
	}
	backends, err := target.Backends(c.set, s, &p)
	if err != nil {
		return nil, question.Errorf("to", q.To, "%s", err)
	}
	end := &ServiceEnd{Name: s.String(), Address: address, Headless: s.Headless, Protocol: protocol.String(), Port: p.Number, PortName: p.Name, Backends: backends}
	var all []Explanation
	for i := range backends {
		to, err := c.backendEnd(&backends[i], s, address)
		if err != nil {
			return nil, err
		}
		e, err := c.explainEnds(from, to, Target{Port: strconv.Itoa(int(backends[i].Port)), Protocol: protocol.String()})
		if err != nil {
			return nil, err
		}
		all = append(all, *e)
	}
	out := combine(all)
	out.Service = end
	hints, err := c.serviceHints(out, s)
	out.Hints = append(out.Hints, hints...)
	return out, err
}

// backendEnd returns the end for a backend. If the `address` parameter is valid, the end has only
// addresses of this address's family. Otherwise, it has only addresses of the Service's families.
// If the backend has no such address, the end has all addresses of the backend.
func (c *Cluster) backendEnd(b *target.Backend, s *service.Service, address netip.Addr) (*End, error) {
	addresses := s.Addresses
	if address.IsValid() {
		addresses = []netip.Addr{address}
	}
	other := func(a netip.Addr) bool {
		return len(addresses) > 0 && !slices.ContainsFunc(addresses, func(of netip.Addr) bool { return of.Is4() == a.Is4() })
	}
	namespace, name, _ := strings.Cut(b.Pod, "/")
	pods := c.podsNamed(name, namespace)
	if len(pods) == 0 && b.Address.IsValid() {
		b.Pod = ""
		return c.addressEnd(b.Address), nil
	}
	end, err := c.podEnd("to", pods[0])
	if err != nil {
		return nil, err
	}
	if rest := slices.DeleteFunc(slices.Clone(end.addresses), other); len(rest) > 0 {
		end.addresses = rest
	}
	b.Address = end.addresses[0]
	return end, nil
}

// combine returns the explanation for a Service, from the explanations for its backends.
func combine(all []Explanation) *Explanation {
	denied := slices.IndexFunc(all, func(e Explanation) bool { return e.Verdict != rule.Allow.String() })
	out := all[max(denied, 0)]
	out.Backends, out.Hints = all, nil
	if slices.ContainsFunc(all, func(e Explanation) bool { return e.Verdict != out.Verdict }) {
		out.Verdict = Mixed
	}
	return &out
}

// title returns the Service with its port, such as "Service shop/db port 80".
func (s *ServiceEnd) title() string {
	if s.Headless {
		return "headless Service " + s.Name
	}
	return fmt.Sprintf("Service %s port %d", s.Name, s.Port)
}

// translation describes the backends, such as "3 pods on TCP 8080".
func (s *ServiceEnd) translation() string {
	byPort := map[uint16]int{}
	var ports []uint16
	pods := 0
	for _, b := range s.Backends {
		if byPort[b.Port]++; byPort[b.Port] == 1 {
			ports = append(ports, b.Port)
		}
		if b.Pod != "" {
			pods++
		}
	}
	one, many := "pod", "pods"
	if pods < len(s.Backends) {
		one, many = "address", "addresses"
	}
	var parts []string
	for _, port := range ports {
		parts = append(parts, fmt.Sprintf("%s on %s %d", phrase.Number(byPort[port], one, many), s.Protocol, port))
	}
	return strings.Join(parts, ", ")
}
