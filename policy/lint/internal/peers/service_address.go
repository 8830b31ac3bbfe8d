package peers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/service"
)

// ServiceAddress finds blocks with addresses of Services. Nodes translate such an address to the
// address of a backend before policies apply.
var ServiceAddress = check.Check{
	Name:       "service-address",
	Severities: []check.Severity{check.Warning, check.Note},
	Scopes:     []check.Scope{check.ScopeCluster},
	Doc:        "an `ipBlock` or an entry of `networks` that is the address of a Service, although policies apply to the addresses of its pods. If it is a larger block without addresses of pods and nodes, the severity is `note`",
	Run: check.EachPeer(func(p *check.Pass, at check.Place, peer *policy.Peer) {
		if peer.Block == nil || check.WholeExcept(peer.Block) >= 0 {
			return
		}
		for a := range p.ServicesInBlock(peer.Block) {
			if at.Rule.Direction == rule.Ingress && !slices.Contains(a.Service.ClusterIPs, a.Addr) || a.IsDNS && p.NodeLocalDNS {
				continue
			}
			reportService(p, at.In(blockField(p)), peer.Block, &a)
			return
		}
	}),
}

func blockField(p *check.Pass) string {
	if p.ClusterScoped() {
		return ".networks"
	}
	return ".ipBlock.cidr"
}

// reportService reports a block that contains an address of a Service.
func reportService(p *check.Pass, at check.Place, b *policy.Block, a *check.ServiceAddress) {
	severity, subject := check.Warning, fmt.Sprintf("%s is an address of Service %s", a.Addr, a.Service)
	if !b.CIDR.Prefix.IsSingleIP() {
		if b.CIDR.Prefix.Bits() == 0 || p.PodsInBlock(b).Count > 0 || p.AnyNodeIn(b) {
			return
		}
		severity, subject = check.Note, fmt.Sprintf("%s contains addresses of Services, such as %s of Service %s, and none of pods", b.CIDR.Text, a.Addr, a.Service)
	}
	if at.Rule.Direction == rule.Ingress {
		p.Report(at, severity, "select the pods that connect by their labels", "%s: no connection comes from the address of a Service, so that this entry %s", subject, p.MatchesNothing())
		return
	}
	if f := p.Find(at, severity); f != nil {
		f.Message = subject + ": such an address is translated to the address of a backend before policies apply"
		if severity == check.Warning {
			f.Message += ", so that this entry " + p.MatchesNothing()
		}
		f.Fix = backendFix(p, at.Rule, a.Service)
	}
}

// backendFix returns what to write instead of the address of a Service: a peer that matches the
// backends, and their ports if the rule lists ports of the Service.
func backendFix(p *check.Pass, r *policy.Rule, s *service.Service) string {
	backends := p.BackendsOf(s)
	return backendPeer(p, s, &backends) + backendPorts(r, s, &backends)
}

func backendPeer(p *check.Pass, s *service.Service, backends *check.Backends) string {
	addresses := backends.Addresses
	for _, pod := range backends.HostPods {
		addresses = append(addresses, addressesOf(pod)...)
	}
	field := "ipBlock: {cidr: %s}"
	if p.ClusterScoped() {
		field = "networks: [%s]"
	}
	switch {
	case s.Selector.Present() && (len(backends.Groups) > 0 || len(addresses) == 0):
		return "select the pods of the Service: " + podsOf(p, s)
	case len(addresses) > 0:
		return "allow the addresses of the backends, such as " + fmt.Sprintf(field, netip.PrefixFrom(addresses[0], addresses[0].BitLen()))
	default:
		return fmt.Sprintf("allow the addresses of the backends (kubectl get endpointslices -n %s -l %s=%s)", s.Namespace, discoveryv1.LabelServiceName, s.Name)
	}
}

// podsOf returns a peer in YAML that selects the pods of a Service.
func podsOf(p *check.Pass, s *service.Service) string {
	pods := "podSelector: " + matchLabels(s.Selector)
	namespace := fmt.Sprintf("namespaceSelector: {matchLabels: {%s: %s}}", corev1.LabelMetadataName, s.Namespace)
	switch {
	case p.ClusterScoped():
		return fmt.Sprintf("pods: {%s, %s}", namespace, pods)
	case s.Namespace == p.Scope:
		return pods
	default:
		return namespace + ", " + pods
	}
}

// matchLabels returns the selector of a Service in YAML.
func matchLabels(s label.Selector) string {
	var labels []string
	for r := range s.Requirements() {
		labels = append(labels, fmt.Sprintf("%s: %s", r.Key, strings.Join(r.Values, "")))
	}
	return "{matchLabels: {" + strings.Join(labels, ", ") + "}}"
}

// backendPorts returns the end of a fix. It lists the ports of the Service in a rule that the Service
// translates to other ports.
func backendPorts(r *policy.Rule, s *service.Service, backends *check.Backends) string {
	var changes []string
	for i := range r.Ports {
		for j := range s.Ports {
			port, have := &r.Ports[i], &s.Ports[j]
			if port.First != port.Last || port.Protocol != have.Protocol || !port.Contains(have.Number) {
				continue
			}
			if target := backends.TargetOf(have); target != 0 && target != have.Number {
				changes = append(changes, fmt.Sprintf("%s %d instead of %d", have.Protocol, target, have.Number))
			}
		}
	}
	if len(changes) == 0 {
		return ""
	}
	return "; allow " + strings.Join(changes, ", ")
}
