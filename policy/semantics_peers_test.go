package policy_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/test/stage"
)

var peerRows = map[string]row{
	"S20 from and to absent or empty: every peer": {shop, map[string]string{
		"shop/p": `{podSelector: {}, policyTypes: [Ingress, Egress],
			ingress: [{ports: [{port: 1}]}, {from: [], ports: [{port: 2}]}],
			egress: [{ports: [{port: 3}]}, {to: [], ports: [{port: 4}]}]}`,
	}, `
		lab/web     -> shop/db   TCP 1 | NotIsolated    | Rule shop/p[0]
		8.8.8.8     -> shop/db   TCP 2 | External       | Rule shop/p[1]
		2001:db8::1 -> shop/db   TCP 2 | External       | Rule shop/p[1]
		shop/db     -> lab/web   TCP 3 | Rule shop/p[0] | NotIsolated
		shop/db     -> 8.8.8.8   TCP 4 | Rule shop/p[1] | External
		8.8.8.8     -> shop/db   TCP 3 | External       | Denied by shop/p
	`},
	"S21 podSelector alone: the policy's namespace": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`,
		"lab/p":  `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]}`,
	}, `
		shop/web -> shop/db TCP 5432 | NotIsolated | Rule shop/p[0]
		lab/web  -> shop/db TCP 5432 | NotIsolated | Denied by shop/p
		lab/bare -> lab/web TCP 8080 | NotIsolated | Rule lab/p[0]
		shop/web -> lab/web TCP 8080 | NotIsolated | Denied by lab/p
		8.8.8.8  -> lab/web TCP 8080 | External    | Denied by lab/p
	`},
	"S22 namespaceSelector alone: all pods of matching namespaces": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]}`,
	}, `
		lab/web  -> shop/db TCP 5432 | NotIsolated | Rule shop/p[0]
		lab/bare -> shop/db TCP 5432 | NotIsolated | Rule shop/p[0]
		shop/web -> shop/db TCP 5432 | NotIsolated | Denied by shop/p
		8.8.8.8  -> shop/db TCP 5432 | External    | Denied by shop/p
	`},
	"S22 the empty namespaceSelector: all pods, no outside address": {shop, map[string]string{
		"shop/p": `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {}}]}], egress: [{to: [{namespaceSelector: {}}]}]}`,
	}, `
		lab/bare -> shop/db   TCP 5432 | NotIsolated      | Rule shop/p[0]
		shop/web -> shop/db   TCP 5432 | Rule shop/p[0]   | Rule shop/p[0]
		8.8.8.8  -> shop/db   TCP 5432 | External         | Denied by shop/p
		shop/db  -> 8.8.8.8   TCP 5432 | Denied by shop/p | External
		shop/db  -> node:one  TCP 5432 | Denied by shop/p | External
		node:one -> shop/db   TCP 5432 | External         | Denied by shop/p
	`},
	"S22 a namespace has its name as a label": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: lab}}}]}]}`,
	}, `
		lab/web  -> shop/db TCP 5432 | NotIsolated | Rule shop/p[0]
		shop/web -> shop/db TCP 5432 | NotIsolated | Denied by shop/p
	`},
	"S23 one entry with both is AND": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: web}}}]}]}`,
	}, `
		lab/web  -> shop/db TCP 5432 | NotIsolated | Rule shop/p[0]
		lab/bare -> shop/db TCP 5432 | NotIsolated | Denied by shop/p
		shop/web -> shop/db TCP 5432 | NotIsolated | Denied by shop/p
	`},
	"S23 two entries are OR": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {app: web}}}]}]}`,
	}, `
		lab/web  -> shop/db TCP 5432 | NotIsolated | Rule shop/p[0]
		lab/bare -> shop/db TCP 5432 | NotIsolated | Rule shop/p[0]
		shop/web -> shop/db TCP 5432 | NotIsolated | Rule shop/p[0]
		shop/db  -> shop/db TCP 5432 | SamePod     | SamePod
	`},
	"S24 an ipBlock is its cidr without the excepts": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress],
			ingress: [{from: [{ipBlock: {cidr: 172.17.0.0/16, except: [172.17.1.0/24, 172.17.1.128/25, 172.17.255.255/32]}}]}],
			egress: [{to: [{ipBlock: {cidr: "2001:db8::/32", except: ["2001:db8:1::/48"]}}]}]}`,
	}, `
		172.16.255.255 -> shop/db TCP 5432 | External | Denied by shop/p
		172.17.0.0     -> shop/db TCP 5432 | External | Rule shop/p[0]
		172.17.0.255   -> shop/db TCP 5432 | External | Rule shop/p[0]
		172.17.1.0     -> shop/db TCP 5432 | External | Denied by shop/p
		172.17.1.200   -> shop/db TCP 5432 | External | Denied by shop/p
		172.17.2.0     -> shop/db TCP 5432 | External | Rule shop/p[0]
		172.17.255.254 -> shop/db TCP 5432 | External | Rule shop/p[0]
		172.17.255.255 -> shop/db TCP 5432 | External | Denied by shop/p
		172.18.0.0     -> shop/db TCP 5432 | External | Denied by shop/p
		shop/db -> 2001:db8::1             TCP 443 | Rule shop/p[0]   | External
		shop/db -> 2001:db8:1::            TCP 443 | Denied by shop/p | External
		shop/db -> 2001:db8:1:ffff::1      TCP 443 | Denied by shop/p | External
		shop/db -> 2001:db8:2::            TCP 443 | Rule shop/p[0]   | External
		shop/db -> 2001:db9::              TCP 443 | Denied by shop/p | External
	`},
	"S24 one entry's except does not cut another's cidr": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [
			{ipBlock: {cidr: 172.17.0.0/16, except: [172.17.1.0/24]}}, {ipBlock: {cidr: 172.17.1.7/32}}]}]}`,
		"shop/q": `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 172.17.1.8/31}}]}]}`,
	}, `
		172.17.0.1 -> shop/db TCP 5432 | External | Rule shop/p[0]
		172.17.1.6 -> shop/db TCP 5432 | External | Denied by shop/p shop/q
		172.17.1.7 -> shop/db TCP 5432 | External | Rule shop/p[0]
		172.17.1.9 -> shop/db TCP 5432 | External | Rule shop/q[0]
	`},
	"S25 an ipBlock matches pods and nodes inside it": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress],
			ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/30}}, {ipBlock: {cidr: "fd00::/126"}}, {ipBlock: {cidr: 192.168.0.0/16}}]}],
			egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}`,
	}, `
		shop/web -> shop/db  TCP 5432 | NotIsolated    | Rule shop/p[0]
		lab/web  -> shop/db  TCP 5432 | NotIsolated    | Rule shop/p[0]
		lab/bare -> shop/db  TCP 5432 | NotIsolated    | Denied by shop/p
		192.168.0.1 -> shop/db TCP 5432 | External     | Rule shop/p[0]
		shop/db -> 10.0.0.4    TCP 5432 | Rule shop/p[0]   | NotIsolated
		shop/db -> 192.168.0.2 TCP 5432 | Rule shop/p[0]   | External
		shop/db -> fd00::4     TCP 5432 | Denied by shop/p | NotIsolated
		shop/db -> fd01::2     TCP 5432 | Denied by shop/p | External
	`},
	"S25 no block matches the other family or the mapped form": {shop, map[string]string{
		"shop/four": `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}`,
		"lab/six":   `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: "::/0"}}]}]}`,
	}, `
		8.8.8.8          -> shop/db TCP 5432 | External | Rule shop/four[0]
		2001:db8::1      -> shop/db TCP 5432 | External | Denied by shop/four
		::ffff:8.8.8.8   -> shop/db TCP 5432 | External | Denied by shop/four
		8.8.8.8          -> lab/web TCP 8080 | External | Denied by lab/six
		2001:db8::1      -> lab/web TCP 8080 | External | Rule lab/six[0]
		::ffff:10.0.0.1  -> lab/web TCP 8080 | External | Rule lab/six[0]
	`},
	"S25 the first and last addresses": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [
			{ipBlock: {cidr: 0.0.0.0/0, except: [0.0.0.0/1, 255.255.255.255/32]}}, {ipBlock: {cidr: "::/0", except: ["::/1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"]}}]}]}`,
	}, `
		0.0.0.0         -> shop/db TCP 5432 | External | Denied by shop/p
		127.255.255.255 -> shop/db TCP 5432 | External | Denied by shop/p
		128.0.0.0       -> shop/db TCP 5432 | External | Rule shop/p[0]
		255.255.255.254 -> shop/db TCP 5432 | External | Rule shop/p[0]
		255.255.255.255 -> shop/db TCP 5432 | External | Denied by shop/p
		::              -> shop/db TCP 5432 | External | Denied by shop/p
		8000::          -> shop/db TCP 5432 | External | Rule shop/p[0]
		ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe -> shop/db TCP 5432 | External | Rule shop/p[0]
		ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff -> shop/db TCP 5432 | External | Denied by shop/p
	`},
	"S26 a service address is an outside address": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}`,
	}, `
		shop/web -> 10.96.0.10 TCP 5432 | Denied by shop/p | External
		shop/web -> shop/db    TCP 5432 | Rule shop/p[0]   | NotIsolated
	`},
}

func namespacesThatDoNotExist(t *testing.T) {
	s := newFixture(t, `
		- {namespace: shop}
		- {node: one}
		- {pod: shop/db}
		- {pod: ghost/a, labels: {app: a}}
		- {pod: ghost/b, labels: {app: b}}
	`,
		stage.Policy(t, "shop/named", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: ghosts}}}]}]}`),
		stage.Policy(t, "shop/every", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 1}]}]}`),
		stage.Policy(t, "ghost/own", `{podSelector: {matchLabels: {app: b}}, ingress: [{from: [{podSelector: {matchLabels: {app: a}}}]}]}`),
	)
	without := `
		ghost/a -> shop/db TCP 1  | NotIsolated | Denied by shop/every shop/named
		ghost/a -> shop/db TCP 80 | NotIsolated | Denied by shop/every shop/named
		ghost/a -> ghost/b TCP 80 | NotIsolated | Rule ghost/own[0]
		shop/db -> ghost/b TCP 80 | NotIsolated | Denied by ghost/own
	`
	s.want(without)
	ghost := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ghost", Labels: map[string]string{"team": "ghosts"}}}
	s.set(ghost)
	s.want(`
		ghost/a -> shop/db TCP 1  | NotIsolated | Rule shop/every[0]
		ghost/a -> shop/db TCP 80 | NotIsolated | Rule shop/named[0]
		ghost/a -> ghost/b TCP 80 | NotIsolated | Rule ghost/own[0]
	`)
	s.remove(ghost)
	s.want(without)
	s.remove(s.pod("ghost/a"))
	s.want(`10.0.0.2 -> ghost/b TCP 80 | External | Denied by ghost/own`)
}
