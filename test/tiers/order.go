package tiers

// shop is a namespace with two pods of node one. Pod lab/tool runs on node two, in another
// namespace.
const shop = `
- {namespace: shop, labels: {team: red}}
- {namespace: lab, labels: {team: blue}}
- {node: one, labels: {zone: a}}
- {node: two, labels: {zone: b}}
- {pod: shop/web, labels: {app: web}, ports: [http:8080/TCP]}
- {pod: shop/db, labels: {app: db}, ports: [sql:5432/TCP, dns:53/UDP, dns:54/TCP]}
- {pod: lab/tool, node: two, labels: {app: tool}, ports: [http:80/TCP, dns:53/SCTP]}
`

// orderRows returns cases that show which policy, which rule and which tier decides.
func orderRows() []Row {
	return []Row{
		{"S70 Admin, then NetworkPolicy, then Baseline, then allow", shop + `
- {admin: guard, subject: {namespaces: {}}, ingress: [
    {action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 22}}}]},
    {action: Accept, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 9090}}}]}]}
- {policy: shop/db, spec: {podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 22}, {port: 5432}]}]}}
- {baseline: floor, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}]}
`, `
shop/web -> shop/db TCP 22 | NotIsolated | Deny Admin guard[0]
shop/web -> shop/db TCP 9090 | NotIsolated | Accept Admin guard[1]
shop/web -> shop/db TCP 5432 | NotIsolated | Rule shop/db[0]
shop/db -> shop/web TCP 80 | NotIsolated | Deny Baseline floor[0]
shop/db -> shop/web TCP 81 | NotIsolated | NotIsolated
shop/web -> shop/db TCP 80 | NotIsolated | Denied by shop/db
`},
		{"S70 an accepting egress rule does not affect the ingress side", shop + `
- {admin: out, subject: {namespaces: {}}, egress: [{action: Accept, to: [{namespaces: {}}]}]}
- {admin: in, subject: {namespaces: {matchLabels: {team: blue}}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}
`, `
shop/web -> lab/tool TCP 80 | Accept Admin out[0] | Deny Admin in[0]
shop/web -> shop/db TCP 80 | Accept Admin out[0] | NotIsolated
`},
		{"S71 the lower priority number first", shop + `
- {admin: a, priority: 20, subject: {namespaces: {}}, egress: [{action: Deny, to: [{namespaces: {}}]}]}
- {admin: b, priority: 10, subject: {namespaces: {}}, egress: [{action: Accept, to: [{namespaces: {}}], protocols: [{udp: {destinationPort: {number: 53}}}]}]}
- {admin: c, priority: 0, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}}, egress: [{action: Accept, to: [{namespaces: {}}]}]}
`, `
shop/web -> lab/tool UDP 53 | Accept Admin b[0] | NotIsolated
shop/web -> lab/tool UDP 54 | Deny Admin a[0] | NotIsolated
shop/db -> lab/tool UDP 54 | Accept Admin c[0] | NotIsolated
`},
		{"S71 the first rule of a policy that matches decides", shop + `
- {baseline: floor, subject: {namespaces: {}}, ingress: [
    {action: Accept, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: tool}}}}]},
    {action: Deny, from: [{namespaces: {}}]},
    {action: Accept, from: [{namespaces: {}}]}]}
`, `
lab/tool -> shop/db TCP 80 | NotIsolated | Accept Baseline floor[0]
shop/web -> shop/db TCP 80 | NotIsolated | Deny Baseline floor[1]
`},
		{"S71 Pass ends its tier only", shop + `
- {admin: a, priority: 1, subject: {namespaces: {}}, ingress: [
    {action: Pass, from: [{namespaces: {matchLabels: {team: red}}}]},
    {action: Deny, from: [{namespaces: {matchLabels: {team: red}}}]}]}
- {admin: b, priority: 2, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}
- {policy: shop/db, spec: {podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 5432}]}]}}
- {baseline: floor, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 81}}}]}]}
`, `
shop/web -> shop/db TCP 5432 | NotIsolated | Pass Admin a[0], Rule shop/db[0]
shop/db -> shop/web TCP 81 | NotIsolated | Pass Admin a[0], Deny Baseline floor[0]
shop/db -> shop/web TCP 80 | NotIsolated | Pass Admin a[0], NotIsolated
shop/web -> shop/db TCP 80 | NotIsolated | Pass Admin a[0], Denied by shop/db
lab/tool -> shop/db TCP 5432 | NotIsolated | Deny Admin b[0]
`},
		{"S72 a NetworkPolicy decides finally for its pods and directions", shop + `
- {policy: shop/db, spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}]}]}}
- {baseline: floor, subject: {namespaces: {}},
    ingress: [{action: Deny, from: [{namespaces: {}}]}], egress: [{action: Accept, to: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}}]}, {action: Deny, to: [{namespaces: {}}]}]}
`, `
shop/web -> shop/db TCP 80 | Accept Baseline floor[0] | Rule shop/db[0]
shop/db -> shop/web TCP 80 | Deny Baseline floor[1] | Deny Baseline floor[0]
lab/tool -> shop/db TCP 80 | Accept Baseline floor[0] | Denied by shop/db
`},
		{"S73 a policy isolates nothing by itself", shop + `
- {admin: guard, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {matchLabels: {team: red}}}]}], egress: [{action: Accept, to: [{namespaces: {matchLabels: {team: red}}}]}]}
- {baseline: floor, subject: {namespaces: {}}}
`, `
shop/web -> shop/db TCP 80 | Accept Admin guard[0] | Accept Admin guard[0]
lab/tool -> shop/db TCP 80 | Accept Admin guard[0] | NotIsolated
shop/db -> lab/tool TCP 80 | NotIsolated | Accept Admin guard[0]
shop/db -> 8.8.8.8 UDP 53 | NotIsolated | External
8.8.8.8 -> shop/db TCP 80 | External | NotIsolated
`},
		{"S78 equal priorities are ordered by name", shop + `
- {admin: b, priority: 7, subject: {namespaces: {}}, egress: [{action: Accept, to: [{namespaces: {}}]}]}
- {admin: b-2, priority: 7, subject: {namespaces: {}}, egress: [{action: Deny, to: [{namespaces: {}}, {networks: [8.8.8.8/32]}]}]}
- {admin: a, priority: 7, subject: {namespaces: {}}, egress: [{action: Pass, to: [{namespaces: {matchLabels: {team: blue}}}]}]}
- {baseline: z, priority: 7, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]}
`, `
shop/web -> shop/db TCP 80 | Accept Admin b[0] | NotIsolated
shop/web -> 10.0.0.3 TCP 80 | Pass Admin a[0], Deny Baseline z[0] | NotIsolated
shop/web -> fd00::3 TCP 80 | Pass Admin a[0], NotIsolated | NotIsolated
shop/web -> 8.8.8.8 TCP 80 | Deny Admin b-2[0] | External
shop/web -> 8.8.4.4 TCP 80 | Deny Baseline z[0] | External
`},
		{"S79 traffic from the pod's own node is not denied", shop + `
- {admin: guard, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{}]}]}
- {baseline: floor, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{}]}]}
`, `
node:one -> shop/db TCP 80 | External | SameNode
node:two -> lab/tool ICMP | External | SameNode
node:two -> shop/db TCP 80 | External | Deny Admin guard[0]
lab/tool -> shop/db TCP 80 | NotIsolated | Deny Admin guard[0]
`},
		{"S80 Admin and Baseline apply to a pod that reaches itself, NetworkPolicy does not", shop + `
- {admin: guard, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}], protocols: [{tcp: {destinationPort: {number: 22}}}]}, {action: Pass, to: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 80}}}]}]}
- {policy: shop/deny, spec: {podSelector: {}, policyTypes: [Ingress, Egress]}}
- {baseline: floor, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{udp: {destinationPort: {number: 53}}}]}]}
`, `
10.0.0.2 -> 10.0.0.2 TCP 22 | Deny Admin guard[0] | SamePod
fd00::2 -> fd00::2 TCP 22 | SamePod | SamePod
shop/db -> shop/db TCP 80 | Pass Admin guard[1], SamePod | SamePod
shop/db -> shop/db UDP 53 | SamePod | Deny Baseline floor[0]
shop/db -> shop/web UDP 53 | Denied by shop/deny | Denied by shop/deny
`},
		{"S84 a decision names the Pass rules on the way", shop + `
- {admin: guard, subject: {namespaces: {}}, egress: [{action: Accept, to: [{networks: [8.8.8.8/32]}]}, {action: Pass, to: [{namespaces: {}}, {networks: [8.8.4.4/32]}]}]}
- {baseline: floor, priority: 1, subject: {namespaces: {}}, egress: [{action: Pass, to: [{namespaces: {matchLabels: {team: red}}}]}]}
- {baseline: floor-2, priority: 2, subject: {namespaces: {}}, egress: [{action: Deny, to: [{namespaces: {}}]}]}
`, `
shop/web -> shop/db TCP 80 | Pass Admin guard[1], Pass Baseline floor[0], NotIsolated | NotIsolated
shop/web -> lab/tool TCP 80 | Pass Admin guard[1], Deny Baseline floor-2[0] | NotIsolated
shop/web -> 8.8.4.4 TCP 80 | Pass Admin guard[1], NotIsolated | External
shop/web -> 8.8.8.8 TCP 80 | Accept Admin guard[0] | External
`},
	}
}
