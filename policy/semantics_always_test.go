package policy_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/test/stage"
)

const denyAll = `{podSelector: {}, policyTypes: [Ingress, Egress]}`

var alwaysRows = map[string]row{
	"S40 the pod's own node reaches it, and only its own": {shop, map[string]string{"shop/deny": denyAll}, `
		node:one -> shop/web TCP 8080  | External            | SameNode
		node:one -> shop/web ICMP      | External            | SameNode
		node:two -> shop/db  TCP 5432  | External            | SameNode
		node:two -> shop/web TCP 8080  | External            | Denied by shop/deny
		node:one -> shop/db  TCP 5432  | External            | Denied by shop/deny
		shop/web -> node:one TCP 10250 | Denied by shop/deny | External
		node:one -> node:two TCP 22    | External            | External
	`},
	"S40 another node is an outside address": {shop, map[string]string{
		"shop/p": `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.168.0.0/16}}, {ipBlock: {cidr: "fd01::/16"}}, {namespaceSelector: {}}], ports: [{port: 1}]}]}`,
	}, `
		node:two -> shop/web TCP 1 | External | Rule shop/p[0]
		node:two -> shop/web TCP 2 | External | Denied by shop/p
		node:one -> shop/web TCP 2 | External | SameNode
	`},
	"S41 a pod reaches itself": {shop, map[string]string{"shop/deny": denyAll}, `
		shop/web -> shop/web TCP 8080 | SamePod             | SamePod
		shop/web -> shop/web 47       | SamePod             | SamePod
		shop/web -> shop/db  TCP 5432 | Denied by shop/deny | Denied by shop/deny
	`},
	"S42 flows in the opposite direction are evaluated separately": {shop, map[string]string{
		"shop/web": `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], egress: [{}]}`,
		"shop/db":  `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], ingress: [{}]}`,
	}, `
		shop/web -> shop/db  TCP 5432  | Rule shop/web[0]  | Rule shop/db[0]
		shop/db  -> shop/web TCP 40000 | Denied by shop/db | Denied by shop/web
	`},
}

func nodeAddressesComeAndGo(t *testing.T) {
	s := newFixture(t, shop, stage.Policy(t, "shop/deny", denyAll))
	const denied, allowed = `192.168.7.7 -> shop/web TCP 8080 | External | Denied by shop/deny`, `192.168.7.7 -> shop/web TCP 8080 | External | SameNode`
	s.want(denied)
	s.edit("lab/bare", func(p *corev1.Pod) { p.Status.HostIP = "192.168.7.7" })
	s.want(allowed)
	s.want(`192.168.7.7 -> shop/db TCP 5432 | External | Denied by shop/deny`)
	s.edit("lab/bare", func(p *corev1.Pod) {
		p.Status.HostIP = ""
		p.Status.HostIPs = []corev1.HostIP{{IP: "192.168.7.7"}}
	})
	s.want(allowed)
	s.edit("lab/bare", func(p *corev1.Pod) { p.Status.HostIPs = nil })
	s.want(denied)

	node := s.objects.Nodes[0].DeepCopy()
	node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "192.168.7.7"})
	s.set(node.DeepCopy())
	s.want(allowed)
	node.Status.Addresses[len(node.Status.Addresses)-1].Type = corev1.NodeExternalDNS
	node.Status.Addresses[len(node.Status.Addresses)-1].Address = "one.example.com"
	s.set(node.DeepCopy())
	s.want(denied)
	s.remove(node)
	s.want(`192.168.0.1 -> shop/web TCP 8080 | External | Denied by shop/deny`)
}

func anUnboundPodHasNoNode(t *testing.T) {
	s := newFixture(t, `
		- {namespace: x}
		- {pod: x/a, node: ""}
		- {pod: x/host, node: ""}
	`, stage.Policy(t, "x/deny", denyAll))
	s.edit("x/host", func(p *corev1.Pod) {
		p.Spec.HostNetwork = true
		stage.SetAddresses(p, "192.168.0.1", "fd01::1")
	})
	s.want(`x/host -> x/a TCP 80 | External | Denied by x/deny`)
}

func anyOfAPodsAddresses(t *testing.T) {
	s := newFixture(t, shop, stage.Policy(t, "shop/deny", denyAll))
	s.edit("shop/web", func(p *corev1.Pod) { stage.SetAddresses(p, "10.0.0.1", "10.1.0.1") })
	s.want(`
		10.0.0.1 -> 10.1.0.1 TCP 8080 | SamePod | SamePod
		10.1.0.1 -> 10.0.0.1 TCP 8080 | SamePod | SamePod
	`)
}
