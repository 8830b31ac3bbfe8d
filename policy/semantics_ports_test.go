package policy_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/test/stage"
)

var portRows = map[string]row{
	"S30 no ports: every protocol": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress],
			ingress: [{from: [{podSelector: {}}]}], egress: [{to: [{podSelector: {}}], ports: []}]}`,
	}, `
		shop/web -> shop/db  TCP 0      | NotIsolated    | Rule shop/p[0]
		shop/web -> shop/db  UDP 65535  | NotIsolated    | Rule shop/p[0]
		shop/web -> shop/db  SCTP 132   | NotIsolated    | Rule shop/p[0]
		shop/web -> shop/db  ICMP       | NotIsolated    | Rule shop/p[0]
		shop/web -> shop/db  ICMPv6     | NotIsolated    | Rule shop/p[0]
		shop/web -> shop/db  47         | NotIsolated    | Rule shop/p[0]
		shop/web -> shop/db  0          | NotIsolated    | Rule shop/p[0]
		shop/web -> shop/db  255        | NotIsolated    | Rule shop/p[0]
		shop/db  -> shop/web 50         | Rule shop/p[0] | NotIsolated
		lab/web  -> shop/db  ICMP       | NotIsolated    | Denied by shop/p
	`},
	"S31 a protocol without a port: all of its ports": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{protocol: UDP}]}]}`,
		"lab/p":  `{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{}]}]}`,
	}, `
		shop/web -> shop/db UDP 0     | NotIsolated | Rule shop/p[0]
		shop/web -> shop/db UDP 65535 | NotIsolated | Rule shop/p[0]
		shop/web -> shop/db TCP 5432  | NotIsolated | Denied by shop/p
		shop/web -> shop/db ICMP      | NotIsolated | Denied by shop/p
		shop/web -> lab/web TCP 1     | NotIsolated | Rule lab/p[0]
		shop/web -> lab/web UDP 1     | NotIsolated | Denied by lab/p
		shop/web -> lab/web SCTP 1    | NotIsolated | Denied by lab/p
	`},
	"S32 a number is one port": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 1}, {port: 5432}, {port: 65535, protocol: UDP}]}]}`,
	}, `
		shop/web -> shop/db TCP 0     | NotIsolated | Denied by shop/p
		shop/web -> shop/db TCP 1     | NotIsolated | Rule shop/p[0]
		shop/web -> shop/db TCP 2     | NotIsolated | Denied by shop/p
		shop/web -> shop/db TCP 5431  | NotIsolated | Denied by shop/p
		shop/web -> shop/db TCP 5432  | NotIsolated | Rule shop/p[0]
		shop/web -> shop/db TCP 5433  | NotIsolated | Denied by shop/p
		shop/web -> shop/db UDP 5432  | NotIsolated | Denied by shop/p
		shop/web -> shop/db UDP 65535 | NotIsolated | Rule shop/p[0]
		shop/web -> shop/db TCP 65535 | NotIsolated | Denied by shop/p
	`},
	"S32 endPort is inclusive and ranges may overlap": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [
			{ports: [{port: 8000, endPort: 8010}], from: [{podSelector: {}}]},
			{ports: [{port: 8005, endPort: 8020}, {port: 9000, endPort: 9000}, {port: 65000, endPort: 65535}]}]}`,
	}, `
		shop/web -> shop/db TCP 7999  | NotIsolated | Denied by shop/p
		shop/web -> shop/db TCP 8000  | NotIsolated | Rule shop/p[0]
		shop/web -> shop/db TCP 8010  | NotIsolated | Rule shop/p[0]
		shop/web -> shop/db TCP 8011  | NotIsolated | Rule shop/p[1]
		lab/web  -> shop/db TCP 8004  | NotIsolated | Denied by shop/p
		lab/web  -> shop/db TCP 8005  | NotIsolated | Rule shop/p[1]
		lab/web  -> shop/db TCP 8020  | NotIsolated | Rule shop/p[1]
		lab/web  -> shop/db TCP 8021  | NotIsolated | Denied by shop/p
		lab/web  -> shop/db TCP 8999  | NotIsolated | Denied by shop/p
		lab/web  -> shop/db TCP 9000  | NotIsolated | Rule shop/p[1]
		lab/web  -> shop/db TCP 9001  | NotIsolated | Denied by shop/p
		lab/web  -> shop/db TCP 64999 | NotIsolated | Denied by shop/p
		lab/web  -> shop/db TCP 65535 | NotIsolated | Rule shop/p[1]
	`},
	"S33 a named port is the subject's own on ingress": {namedPorts, map[string]string{
		"x/p": `{podSelector: {}, ingress: [{ports: [{port: http}]}]}`,
	}, `
		x/client -> x/a    TCP 80   | NotIsolated | Rule x/p[0]
		x/client -> x/a    TCP 8080 | NotIsolated | Denied by x/p
		x/client -> x/b    TCP 8080 | NotIsolated | Rule x/p[0]
		x/client -> x/b    TCP 80   | NotIsolated | Denied by x/p
		x/client -> x/udp  UDP 80   | NotIsolated | Denied by x/p
		x/client -> x/udp  TCP 80   | NotIsolated | Denied by x/p
		x/client -> x/two  TCP 81   | NotIsolated | Rule x/p[0]
		x/client -> x/two  TCP 82   | NotIsolated | Denied by x/p
		x/client -> x/none TCP 80   | NotIsolated | Denied by x/p
	`},
	"S33 a named port is the peer's own on egress": {namedPorts, map[string]string{
		"x/p": `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [
			{ports: [{port: http}], to: [{podSelector: {matchLabels: {app: web}}}]},
			{ports: [{port: http, protocol: UDP}]}]}`,
	}, `
		x/client -> x/a     TCP 80   | Rule x/p[0]   | NotIsolated
		x/client -> x/b     TCP 8080 | Rule x/p[0]   | NotIsolated
		x/client -> x/b     TCP 80   | Denied by x/p | NotIsolated
		x/client -> x/udp   UDP 80   | Rule x/p[1]   | NotIsolated
		x/client -> x/udp   TCP 80   | Denied by x/p | NotIsolated
		x/client -> x/none  TCP 80   | Denied by x/p | NotIsolated
		x/client -> 8.8.8.8 UDP 80   | Denied by x/p | External
	`},
	"S34 a named port and an ipBlock: pods inside the block": {namedPorts, map[string]string{
		"x/p": `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{ports: [{port: http}], to: [
			{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.3/32]}}, {ipBlock: {cidr: "fd00::/16"}}]}]}`,
	}, `
		x/client   -> 10.0.0.2  TCP 80   | Rule x/p[0]   | NotIsolated
		x/client   -> 10.0.0.2  TCP 81   | Denied by x/p | NotIsolated
		x/client   -> 10.0.0.3  TCP 8080 | Denied by x/p | NotIsolated
		x/client   -> fd00::3   TCP 8080 | Rule x/p[0]   | NotIsolated
		x/client   -> x/none    TCP 80   | Denied by x/p | NotIsolated
		x/client   -> 10.9.9.9  TCP 80   | Denied by x/p | External
		x/client   -> 8.8.8.8   TCP 80   | Denied by x/p | External
	`},
	"S34 the same name in two blocks, and other peers": {namedPorts, map[string]string{
		"x/p": `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [
			{ports: [{port: http}, {port: 443}], to: [{ipBlock: {cidr: 10.0.0.2/32}}, {podSelector: {matchLabels: {app: none}}}]},
			{ports: [{port: http}], to: [{ipBlock: {cidr: 10.0.0.0/30}}]},
			{ports: [{port: 22}], to: [{podSelector: {matchLabels: {app: web}}}]}]}`,
	}, `
		x/client -> 10.0.0.2 TCP 80   | Rule x/p[0]   | NotIsolated
		x/client -> 10.0.0.2 TCP 443  | Rule x/p[0]   | NotIsolated
		x/client -> 10.0.0.3 TCP 8080 | Rule x/p[1]   | NotIsolated
		x/client -> 10.0.0.3 TCP 443  | Denied by x/p | NotIsolated
		x/client -> 10.0.0.2 TCP 22   | Rule x/p[2]   | NotIsolated
		x/client -> 10.0.0.3 TCP 22   | Rule x/p[2]   | NotIsolated
		x/client -> x/none   TCP 443  | Rule x/p[0]   | NotIsolated
		x/client -> x/none   TCP 80   | Denied by x/p | NotIsolated
	`},
	"S35 SCTP is evaluated like TCP and UDP": {`
		- {namespace: x}
		- {node: one}
		- {pod: x/server, ports: [sig:3868/SCTP, sig:3869/TCP]}
		- {pod: x/client}
	`, map[string]string{
		"x/p": `{podSelector: {}, ingress: [{ports: [{port: sig, protocol: SCTP}, {port: 7000, endPort: 7001, protocol: SCTP}]}]}`,
	}, `
		x/client -> x/server SCTP 3868 | NotIsolated | Rule x/p[0]
		x/client -> x/server SCTP 3869 | NotIsolated | Denied by x/p
		x/client -> x/server TCP 3868  | NotIsolated | Denied by x/p
		x/client -> x/server TCP 3869  | NotIsolated | Denied by x/p
		x/client -> x/server SCTP 7001 | NotIsolated | Rule x/p[0]
		x/client -> x/server SCTP 7002 | NotIsolated | Denied by x/p
		x/client -> x/server UDP 7001  | NotIsolated | Denied by x/p
	`},
	"S36 only rules without ports match ICMP and unknown protocols": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, ingress: [
			{ports: [{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}]},
			{from: [{podSelector: {}}]}]}`,
	}, `
		lab/web  -> shop/db ICMP   | NotIsolated | Denied by shop/p
		lab/web  -> shop/db ICMPv6 | NotIsolated | Denied by shop/p
		lab/web  -> shop/db 41     | NotIsolated | Denied by shop/p
		lab/web  -> shop/db TCP 1  | NotIsolated | Rule shop/p[0]
		shop/web -> shop/db ICMP   | NotIsolated | Rule shop/p[1]
		shop/web -> shop/db ICMPv6 | NotIsolated | Rule shop/p[1]
		shop/web -> shop/db 41     | NotIsolated | Rule shop/p[1]
	`},
}

const namedPorts = `
	- {namespace: x}
	- {node: one}
	- {pod: x/client, labels: {app: client}}
	- {pod: x/a, labels: {app: web}, ports: [http:80]}
	- {pod: x/b, labels: {app: web}, ports: [http:8080/TCP]}
	- {pod: x/udp, labels: {app: udp}, ports: [http:80/UDP]}
	- {pod: x/two, labels: {app: web}, ports: [http:81, http:82]}
	- {pod: x/none, labels: {app: none}, ports: [other:80]}
`

func portsOfInitContainers(t *testing.T) {
	s := newFixture(t, namedPorts,
		stage.Policy(t, "x/p", `{podSelector: {matchLabels: {app: none}}, ingress: [{ports: [{port: http}]}]}`),
		stage.Policy(t, "x/q", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{ports: [{port: http}], to: [{podSelector: {}}]}]}`))
	init := func(restart *corev1.ContainerRestartPolicy) corev1.Container {
		return corev1.Container{RestartPolicy: restart, Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 9000}}}
	}
	s.edit("x/none", func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{init(nil)} })
	s.want(`x/client -> x/none TCP 9000 | Denied by x/q | Denied by x/p`)
	always := corev1.ContainerRestartPolicyAlways
	s.edit("x/none", func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{init(&always)} })
	s.want(`x/client -> x/none TCP 9000 | Rule x/q[0] | Rule x/p[0]`)
	s.edit("x/none", func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}
	})
	s.want(`
		x/client -> x/none TCP 80   | Rule x/q[0]   | Rule x/p[0]
		x/client -> x/none TCP 9000 | Denied by x/q | Denied by x/p
	`)
}
