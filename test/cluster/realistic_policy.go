package cluster

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

type (
	ingressRule = networkingv1.NetworkPolicyIngressRule
	egressRule  = networkingv1.NetworkPolicyEgressRule
	peers       = []networkingv1.NetworkPolicyPeer
)

// planPolicies plans the policies of the teams' namespaces. It first adds one policy to each
// namespace, then a second policy to each namespace, and so on. In nine of ten namespaces, the
// first policy denies by default. In one of three namespaces, the second policy allows DNS. In
// every namespace, the third policy allows monitoring. All other policies allow specific
// connections.
func (r *Realistic) planPolicies(random *rand.Rand) {
	teams := len(r.namespaces) - systemNamespaces
	for i := range r.size.Policies {
		ns := systemNamespaces + i%teams
		r.policies = append(r.policies, r.planPolicy(random, ns, i/teams))
	}
}

// planPolicy returns a policy for a namespace. The `turn` parameter is the number of policies
// that the namespace already has.
func (r *Realistic) planPolicy(random *rand.Rand, ns, turn int) *networkingv1.NetworkPolicy {
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespaces[ns].name}}
	open := ns%10 == 9
	egressToo := ns%3 == 0
	switch {
	case turn == 0 && !open:
		policy.Name = "default-deny"
		policy.Spec.PolicyTypes = policyTypes(true, egressToo)
	case turn == 1 && egressToo:
		policy.Name = "allow-dns"
		policy.Spec.PolicyTypes = policyTypes(false, true)
		policy.Spec.Egress = []egressRule{{Ports: portList("UDP", "dns"), To: peers{byLabels(
			map[string]string{corev1.LabelMetadataName: "kube-system"}, map[string]string{"app": "kube-dns"})}}}
	case turn == 2:
		policy.Name = "allow-monitoring"
		policy.Spec.PolicyTypes = policyTypes(true, false)
		policy.Spec.Ingress = []ingressRule{{Ports: portList("TCP", "metrics"), From: peers{byLabels(map[string]string{"role": "monitoring"}, nil)}}}
	default:
		r.planAllowance(random, policy, ns)
		policy.Name = fmt.Sprintf("%s-%d", policy.Name, turn)
	}
	return policy
}

func (r *Realistic) planAllowance(random *rand.Rand, policy *networkingv1.NetworkPolicy, ns int) {
	app := fmt.Sprintf("app-%d", random.IntN(max(1, (r.namespaces[ns].last-r.namespaces[ns].first)/len(tiers))))
	subject := func(tier string) {
		policy.Spec.PodSelector.MatchLabels = map[string]string{"app": app, "tier": tier}
	}
	policy.Spec.PolicyTypes = policyTypes(true, false)
	switch random.IntN(7) {
	case 0:
		policy.Name = "web-from-ingress"
		subject("web")
		policy.Spec.Ingress = []ingressRule{{Ports: portList("TCP", "http"), From: peers{byLabels(map[string]string{"role": "ingress"}, nil)}}}
	case 1:
		policy.Name = "api-from-web"
		subject("api")
		policy.Spec.Ingress = []ingressRule{
			{Ports: portList("TCP", 9000), From: peers{byLabels(nil, map[string]string{"app": app, "tier": "web"})}},
			{Ports: portList("TCP", "grpc"), From: peers{byLabels(nil, map[string]string{"tier": "worker"})}},
		}
	case 2:
		policy.Name = "data-from-api"
		policy.Spec.PodSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "tier", Operator: metav1.LabelSelectorOpIn, Values: []string{"db", "cache"}}}
		policy.Spec.Ingress = []ingressRule{{Ports: portList("TCP", 5432, 6379), From: peers{byLabels(nil, map[string]string{"tier": "api"}), byLabels(nil, map[string]string{"tier": "worker"})}}}
	case 3:
		policy.Name = "api-from-team"
		subject("api")
		policy.Spec.Ingress = []ingressRule{{Ports: portList("TCP", "grpc"), From: peers{byLabels(
			map[string]string{"team": r.namespaces[systemNamespaces+random.IntN(len(r.namespaces)-systemNamespaces)].labels["team"]}, nil)}}}
	case 4:
		policy.Name = "web-from-office"
		subject("web")
		policy.Spec.Ingress = []ingressRule{{Ports: portList("TCP", 8080), From: r.offices(random)}}
	case 5:
		policy.Name = "worker-to-partners"
		subject("worker")
		policy.Spec.PolicyTypes = policyTypes(false, true)
		policy.Spec.Egress = []egressRule{
			{Ports: portList("TCP", 443), To: r.offices(random)},
			{Ports: portList("TCP", "postgres"), To: peers{byLabels(nil, map[string]string{"tier": "db"})}},
			{To: peers{byLabels(map[string]string{corev1.LabelMetadataName: "kube-system"}, nil)}},
		}
	case 6:
		policy.Name = "debug-from-namespace"
		policy.Spec.PodSelector.MatchLabels = map[string]string{"app": app}
		ports := portList("TCP", 10000)
		end := int32(10100)
		ports[0].EndPort = &end
		policy.Spec.Ingress = []ingressRule{{Ports: ports, From: peers{{PodSelector: &metav1.LabelSelector{}}}}}
	}
}

// offices returns one to four blocks of addresses outside the cluster. Some of these blocks
// have an except. One in sixteen blocks contains all IPv4 addresses except the addresses of the
// cluster.
func (r *Realistic) offices(random *rand.Rand) peers {
	var list peers
	for range 1 + random.IntN(4) {
		a, b := 1+random.IntN(100), random.IntN(256)
		block := &networkingv1.IPBlock{CIDR: fmt.Sprintf("203.%d.%d.0/24", a, b)}
		switch random.IntN(16) {
		case 0:
			block = &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8", "172.16.0.0/12"}}
		case 1, 2, 3, 4:
			block = &networkingv1.IPBlock{CIDR: fmt.Sprintf("203.%d.0.0/16", a), Except: []string{fmt.Sprintf("203.%d.%d.0/24", a, b), fmt.Sprintf("203.%d.255.0/24", a)}}
		case 5:
			if r.size.DualStack {
				block = &networkingv1.IPBlock{CIDR: fmt.Sprintf("2001:db8:%x::/48", a), Except: []string{fmt.Sprintf("2001:db8:%x:%x::/64", a, b)}}
			}
		}
		list = append(list, networkingv1.NetworkPolicyPeer{IPBlock: block})
	}
	return list
}

func policyTypes(ingress, egress bool) []networkingv1.PolicyType {
	var list []networkingv1.PolicyType
	if ingress {
		list = append(list, networkingv1.PolicyTypeIngress)
	}
	if egress {
		list = append(list, networkingv1.PolicyTypeEgress)
	}
	return list
}

func byLabels(namespaces, pods map[string]string) networkingv1.NetworkPolicyPeer {
	var peer networkingv1.NetworkPolicyPeer
	if namespaces != nil {
		peer.NamespaceSelector = &metav1.LabelSelector{MatchLabels: namespaces}
	}
	if pods != nil {
		peer.PodSelector = &metav1.LabelSelector{MatchLabels: pods}
	}
	return peer
}

// portList returns one NetworkPolicyPort for each element of the `ports` parameter. An element is
// the name or the number of a port.
func portList(protocol corev1.Protocol, ports ...any) []networkingv1.NetworkPolicyPort {
	var list []networkingv1.NetworkPolicyPort
	for _, port := range ports {
		value := intstr.Parse(fmt.Sprint(port))
		list = append(list, networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &value})
	}
	return list
}
