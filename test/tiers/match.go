package tiers

// matchRows returns cases that show what the parts of a rule match.
func matchRows() []Row {
	return []Row{
		{"S74 pods in the host network are neither subjects nor pod peers", shop + `
- {pod: shop/proxy, host: true, labels: {app: web}}
- {admin: guard, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}], egress: [{action: Deny, to: [{namespaces: {}}]}]}
`, `
shop/proxy -> lab/tool TCP 80 | External | NotIsolated
lab/tool -> shop/proxy TCP 80 | NotIsolated | External
shop/web -> shop/proxy TCP 80 | NotIsolated | External
shop/web -> lab/tool TCP 80 | Deny Admin guard[0] | Deny Admin guard[0]
`},
		{"S74 a subject or peer with both selectors matches pods of the selected namespaces", shop + `
- {pod: gone/web, labels: {app: web}}
- {admin: guard, subject: {pods: {namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {app: db}}}},
    ingress: [{action: Deny, from: [{pods: {namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {app: web}}}}]}]}
- {admin: rest, priority: 1, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}]}]}
`, `
shop/web -> shop/db TCP 80 | NotIsolated | Deny Admin guard[0]
shop/db -> shop/web TCP 80 | NotIsolated | Accept Admin rest[0]
lab/tool -> shop/db TCP 80 | NotIsolated | Accept Admin rest[0]
gone/web -> shop/db TCP 80 | NotIsolated | NotIsolated
shop/db -> gone/web TCP 80 | NotIsolated | NotIsolated
`},
		{"S75 networks match every address inside", shop + `
- {admin: guard, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [10.0.0.2/31, 192.168.0.0/16, "fd00::2/128", "2001:db8::/32"]}]}]}
`, `
shop/web -> shop/db TCP 80 | Deny Admin guard[0] | NotIsolated
10.0.0.1 -> 10.0.0.3 TCP 80 | Deny Admin guard[0] | NotIsolated
fd00::1 -> fd00::3 TCP 80 | NotIsolated | NotIsolated
10.0.0.1 -> 192.168.0.1 TCP 80 | Deny Admin guard[0] | External
10.0.0.1 -> 192.168.7.7 ICMP | Deny Admin guard[0] | External
shop/web -> 2001:db8::1 ICMPv6 | Deny Admin guard[0] | External
shop/web -> 8.8.8.8 TCP 80 | NotIsolated | External
shop/web -> ::ffff:192.168.0.1 TCP 80 | NotIsolated | External
`},
		{"S75 nodes match the addresses of nodes, also of the pod's own node", shop + `
- {admin: guard, subject: {namespaces: {}}, egress: [
    {action: Accept, to: [{nodes: {matchLabels: {zone: b}}}], protocols: [{tcp: {destinationPort: {number: 443}}}]},
    {action: Deny, to: [{nodes: {}}]}]}
`, `
shop/web -> node:two TCP 443 | Accept Admin guard[0] | External
shop/web -> node:two TCP 22 | Deny Admin guard[1] | External
shop/web -> node:one TCP 443 | Deny Admin guard[1] | External
lab/tool -> node:two TCP 443 | Accept Admin guard[0] | External
shop/web -> 192.168.0.9 TCP 22 | NotIsolated | External
shop/web -> shop/db TCP 22 | NotIsolated | NotIsolated
`},
		{"S76 a rule without protocols matches every protocol", shop + `
- {admin: guard, subject: {namespaces: {}}, ingress: [
    {action: Accept, from: [{namespaces: {matchLabels: {team: red}}}], protocols: [{tcp: {destinationPort: {range: {start: 80, end: 90}}}}, {udp: {destinationPort: {number: 53}}}, {sctp: {destinationPort: {number: 7}}}]},
    {action: Deny, from: [{namespaces: {}}]}]}
`, `
shop/web -> shop/db TCP 79 | NotIsolated | Deny Admin guard[1]
shop/web -> shop/db TCP 80 | NotIsolated | Accept Admin guard[0]
shop/web -> shop/db TCP 90 | NotIsolated | Accept Admin guard[0]
shop/web -> shop/db TCP 91 | NotIsolated | Deny Admin guard[1]
shop/web -> shop/db UDP 53 | NotIsolated | Accept Admin guard[0]
shop/web -> shop/db TCP 53 | NotIsolated | Deny Admin guard[1]
shop/web -> shop/db SCTP 7 | NotIsolated | Accept Admin guard[0]
10.0.0.1 -> 10.0.0.2 ICMP | NotIsolated | Deny Admin guard[1]
fd00::1 -> fd00::2 ICMPv6 | NotIsolated | Deny Admin guard[1]
shop/web -> shop/db 47 | NotIsolated | Deny Admin guard[1]
`},
		{"S76 a port name means all ports of that name", shop + `
- {admin: guard, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}], protocols: [{destinationNamedPort: dns}]}], egress: [{action: Deny, to: [{namespaces: {}}], protocols: [{destinationNamedPort: http}]}]}
`, `
shop/web -> shop/db UDP 53 | NotIsolated | Deny Admin guard[0]
shop/web -> shop/db TCP 54 | NotIsolated | Deny Admin guard[0]
shop/web -> shop/db TCP 53 | NotIsolated | NotIsolated
shop/web -> lab/tool SCTP 53 | NotIsolated | Deny Admin guard[0]
shop/web -> lab/tool UDP 53 | NotIsolated | NotIsolated
shop/web -> lab/tool TCP 80 | Deny Admin guard[0] | NotIsolated
shop/db -> shop/web TCP 80 | NotIsolated | NotIsolated
shop/db -> shop/web TCP 8080 | Deny Admin guard[0] | NotIsolated
`},
		{"S76 a port name means nothing for nodes and for addresses outside of the cluster", shop + `
- {pod: shop/more, ports: [http:80/TCP]}
- {admin: guard, subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}, egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}, {nodes: {}}], protocols: [{destinationNamedPort: http}]}]}
`, `
10.0.0.1 -> 10.0.0.3 TCP 80 | Deny Admin guard[0] | NotIsolated
10.0.0.1 -> 10.0.0.4 TCP 80 | Deny Admin guard[0] | NotIsolated
10.0.0.1 -> 10.0.0.2 TCP 80 | NotIsolated | NotIsolated
fd00::1 -> fd00::3 TCP 80 | NotIsolated | NotIsolated
shop/web -> node:two TCP 80 | NotIsolated | External
shop/web -> 8.8.8.8 TCP 80 | NotIsolated | External
`},
		{"S77 a rule with an unknown peer fails closed", shop + `
- {admin: a, subject: {namespaces: {matchLabels: {team: red}}}, ingress: [{action: Accept, from: [{namespaces: {}}, {}]}]}
- {admin: b, subject: {namespaces: {matchLabels: {team: blue}}}, ingress: [{action: Pass, from: [{namespaces: {matchLabels: {team: none}}}, {}], protocols: [{tcp: {destinationPort: {number: 1}}}]}]}
- {baseline: floor, subject: {namespaces: {matchLabels: {team: red}}}, egress: [{action: Accept, to: [{namespaces: {matchLabels: {team: red}}}]}, {action: Deny, to: [{}]}]}
`, `
shop/web -> shop/db TCP 80 | Accept Baseline floor[0] | NotIsolated
shop/web -> lab/tool TCP 80 | Deny Baseline floor[1] | Deny Admin b[0]
lab/tool -> shop/web TCP 80 | NotIsolated | NotIsolated
8.8.8.8 -> lab/tool ICMP | External | Deny Admin b[0]
shop/web -> 8.8.8.8 UDP 53 | Deny Baseline floor[1] | External
`},
		{"S77 a rule with an unknown protocol fails closed", shop + `
- {admin: a, subject: {namespaces: {matchLabels: {team: red}}}, ingress: [{action: Accept, from: [{namespaces: {}}], protocols: [{}, {tcp: {destinationPort: {number: 80}}}]}]}
- {admin: b, subject: {namespaces: {matchLabels: {team: blue}}}, ingress: [{action: Deny, from: [{namespaces: {matchLabels: {team: none}}}], protocols: [{tcp: {}}]}]}
`, `
lab/tool -> shop/web TCP 80 | NotIsolated | NotIsolated
shop/web -> lab/tool UDP 53 | NotIsolated | Deny Admin b[0]
8.8.8.8 -> lab/tool TCP 80 | External | Deny Admin b[0]
`},
		{"S77 a rule with an invalid selector, network or port fails closed", shop + `
- {admin: a, subject: {namespaces: {matchLabels: {team: red}}}, egress: [
    {action: Accept, to: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {start: 90, end: 80}}}}]},
    {action: Accept, to: [{networks: [0.0.0.0/0, 10.0.0.0/33]}]},
    {action: Accept, to: [{nodes: {matchExpressions: [{key: zone, operator: Is, values: [a]}]}}, {namespaces: {}}]}]}
- {admin: b, subject: {namespaces: {matchLabels: {team: blue}}}, egress: [{action: Pass, to: [{pods: {namespaceSelector: {matchExpressions: [{key: team, operator: In}]}, podSelector: {}}}]}]}
`, `
shop/web -> shop/db TCP 80 | NotIsolated | NotIsolated
shop/web -> node:two TCP 80 | NotIsolated | External
lab/tool -> shop/db TCP 80 | Deny Admin b[0] | NotIsolated
`},
		{"S77 if a subject is not understood, its rules apply to more pods and allow nothing", shop + `
- {admin: a, subject: {namespaces: {matchLabels: {team: red}, matchExpressions: [{key: tier, operator: Is, values: [a]}]}}, egress: [
    {action: Accept, to: [{namespaces: {}}]}, {action: Pass, to: [{nodes: {}}]}, {action: Deny, to: [{networks: [8.8.8.8/32]}]}]}
- {admin: b, priority: 1, subject: {}, egress: [{action: Accept, to: [{namespaces: {}}]}, {action: Deny, to: [{networks: [8.8.4.4/32]}]}]}
`, `
shop/web -> shop/db TCP 80 | NotIsolated | NotIsolated
shop/web -> 8.8.8.8 TCP 80 | Deny Admin a[2] | External
shop/web -> node:two TCP 80 | Deny Admin a[1] | External
lab/tool -> 8.8.8.8 TCP 80 | NotIsolated | External
lab/tool -> node:one TCP 80 | NotIsolated | External
lab/tool -> 8.8.4.4 TCP 80 | Deny Admin b[1] | External
`},
		{"S82 no address matches domainNames, other peers of the rule match", shop + `
- {admin: guard, subject: {namespaces: {matchLabels: {team: red}}}, egress: [{action: Accept, to: [{domainNames: ["*.example.com"]}, {networks: [8.8.8.8/32]}]}]}
- {baseline: floor, subject: {namespaces: {matchLabels: {team: red}}}, egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]}
`, `
shop/web -> 8.8.8.8 TCP 443 | Accept Admin guard[0] | External
shop/web -> 8.8.4.4 TCP 443 | Deny Baseline floor[0] | External
`},
		{"S82 domainNames in other rules are not understood", shop + `
- {admin: guard, subject: {namespaces: {matchLabels: {team: red}}}, egress: [{action: Deny, to: [{domainNames: [example.com]}]}]}
- {admin: pass, subject: {namespaces: {matchLabels: {team: blue}}}, egress: [{action: Pass, to: [{domainNames: [example.com]}]}]}
`, `
shop/web -> 8.8.8.8 TCP 443 | Deny Admin guard[0] | External
lab/tool -> shop/web TCP 80 | Deny Admin pass[0] | NotIsolated
`},
	}
}
