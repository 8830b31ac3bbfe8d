package lint

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/policy"
)

// IP protocol numbers of the protocols that have ports.
var protocolNumbers = map[corev1.Protocol]uint8{corev1.ProtocolTCP: 6, corev1.ProtocolUDP: 17, corev1.ProtocolSCTP: 132}

func protocolOf(p *networkingv1.NetworkPolicyPort) corev1.Protocol {
	if p.Protocol == nil {
		return corev1.ProtocolTCP
	}
	return *p.Protocol
}

// namedPorts finds port names that pods do not have.
func (c *check) namedPorts(r *ruleOf) {
	for i := range r.ports {
		p := &r.ports[i]
		if p.Port == nil || p.Port.Type != intstr.String {
			continue
		}
		field := fmt.Sprintf("%s.ports[%d].port", r.field, i)
		targets := c.targets(r)
		if len(targets) == 0 {
			continue
		}
		number := protocolNumbers[protocolOf(p)]
		with := 0
		for _, pod := range targets {
			if hasPort(pod, number, p.Port.StrVal) {
				with++
			}
		}
		whose := "that the policy selects"
		if !r.ingress {
			whose = "that the rule's peers match"
		}
		switch {
		case with == 0 && len(targets) == 1:
			c.found(Warning, "no-such-port", field, c.portMend(targets, p),
				"the pod %s has no %s port named %q: the entry allows nothing", whose, protocolOf(p), p.Port.StrVal)
		case with == 0:
			c.found(Warning, "no-such-port", field, c.portMend(targets, p),
				"none of the %d pods %s has a %s port named %q: the entry allows nothing", len(targets), whose, protocolOf(p), p.Port.StrVal)
		case with < len(targets) && (r.ingress || len(r.peers) > 0):
			c.found(Note, "port-of-some", field, "name the port in every pod, or give its number",
				"only %d of the %d pods %s have a %s port named %q", with, len(targets), whose, protocolOf(p), p.Port.StrVal)
		}
	}
}

func hasPort(pod *policy.Pod, protocol uint8, name string) bool {
	return slices.ContainsFunc(pod.Ports, func(p policy.ContainerPort) bool { return p.Protocol == protocol && p.Name == name })
}

// portMend says what the pods have instead.
func (c *check) portMend(targets []*policy.Pod, p *networkingv1.NetworkPolicyPort) string {
	names := map[string]bool{}
	for _, pod := range targets {
		for _, have := range pod.Ports {
			if have.Name == p.Port.StrVal {
				for protocol, number := range protocolNumbers {
					if number == have.Protocol {
						return fmt.Sprintf("the port of that name is %s: write protocol: %s", protocol, protocol)
					}
				}
			}
			if have.Protocol == protocolNumbers[protocolOf(p)] {
				names[have.Name] = true
			}
		}
	}
	if len(names) == 0 {
		return "give the port's number, or name the port in the pod's containers"
	}
	return fmt.Sprintf("they have %s; correct the name, or give the port's number", few(slices.Sorted(maps.Keys(names))))
}
