package e2e_test

import "testing"

// row is a row of docs/semantics.md that can be tested with a single tree.
type row struct {
	policies map[string]string
	services string
	want     string
}

// denyAll isolates every pod of a namespace in both directions, and allows nothing.
const denyAll = `{podSelector: {}, policyTypes: [Ingress, Egress]}`

var rows = map[string]row{
	"S26 the backend is evaluated, not the service": {
		policies: map[string]string{
			"shop/db":  `{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: http}, {port: dns, protocol: UDP}, {port: sig, protocol: SCTP}]}]}`,
			"shop/old": `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]}`,
		},
		services: `
			web     TCP  80   -> shop/web 8080
			dns     UDP  53   -> shop/web 5353
			sig     SCTP 1    -> shop/web 3868
			trap    TCP  8080 -> shop/web 9090
			traps   SCTP 3868 -> shop/web 9090
			trapped UDP  5353 -> shop/db  5353
		`,
		want: `
			shop/db   -> service:web     allowed
			shop/db   -> service:dns     allowed
			shop/db   -> service:sig     allowed
			shop/db   -> service:trap    denied
			shop/db   -> service:traps   denied
			shop/old  -> service:trap    allowed
			shop/old  -> service:trapped allowed
			lab/probe -> service:web     denied
			lab/probe -> service:dns     denied
			node:one  -> service:web     allowed
			node:one  -> service:dns     allowed
			node:one  -> service:sig     allowed
		`,
	},
	"S26 the source is the one before masquerade": {
		policies: map[string]string{
			"shop/web": `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}`,
			"shop/db":  `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 192.168.126.254/32}}, {ipBlock: {cidr: "fd00:192:168:126::fe/128"}}]}]}`,
		},
		services: `
			web     TCP  80    -> shop/web 8080 masquerade
			dns     UDP  53    -> shop/web 5353 masquerade
			sig     SCTP 1     -> shop/web 3868 masquerade
			node    TCP  30080 -> shop/web 8080 masquerade
			node-db TCP  30054 -> shop/db  5432 masquerade
			node-u  UDP  30054 -> shop/db  5432 masquerade
		`,
		want: `
			shop/db   -> service:web     allowed
			shop/db   -> service:dns     allowed
			shop/db   -> service:sig     allowed
			lab/probe -> service:web     denied
			lab/probe -> service:dns     denied
			lab/probe -> service:sig     denied
			outside   -> service:node    denied
			outside   -> service:node-db allowed
			outside   -> service:node-u  allowed
			lab/far   -> service:node-db denied
			shop/db   -> service:node    allowed
			lab/probe -> service:node    denied
		`,
	},
	"S30 without ports every protocol": {
		policies: map[string]string{
			"shop/db": `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}], egress: [{to: [{namespaceSelector: {matchLabels: {team: lab}}}]}]}`,
		},
		want: `
			shop/web  -> shop/db   TCP  1 allowed
			shop/web  -> shop/db   UDP  1 allowed
			shop/web  -> shop/db   SCTP 1 allowed
			shop/web  -> shop/db   ICMP   allowed
			shop/web  -> shop/db   50 allowed
			lab/probe -> shop/db   TCP  1 denied
			lab/probe -> shop/db   UDP  1 denied
			lab/probe -> shop/db   SCTP 1 denied
			lab/probe -> shop/db   ICMP   denied
			lab/probe -> shop/db   50 denied
			shop/db   -> lab/far   TCP  1 allowed
			shop/db   -> lab/far   UDP  1 allowed
			shop/db   -> lab/far   SCTP 1 allowed
			shop/db   -> lab/far   ICMP   allowed
			shop/db   -> lab/far   50 allowed
			shop/db   -> outside   TCP  1 denied
			shop/db   -> outside   UDP  1 denied
			shop/db   -> outside   SCTP 1 denied
			shop/db   -> outside   ICMP   denied
			shop/db   -> outside   50 denied
			shop/web  -> lab/probe 50 allowed
		`,
	},
	"S31 a protocol without a port": {
		policies: map[string]string{
			"shop/db":  `{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{protocol: UDP}, {protocol: SCTP}]}]}`,
			"shop/web": `{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 80}]}]}`,
		},
		want: `
			lab/probe -> shop/db  UDP  1     allowed
			lab/probe -> shop/db  UDP  65535 allowed
			lab/probe -> shop/db  SCTP 7     allowed
			lab/probe -> shop/db  TCP  7     denied
			lab/probe -> shop/db  ICMP       denied
			lab/probe -> shop/web TCP  80    allowed
			lab/probe -> shop/web UDP  80    denied
			lab/probe -> shop/web SCTP 80    denied
		`,
	},
	"S32 ports and ranges": {
		policies: map[string]string{
			"shop/db":  `{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 1000, endPort: 2000}, {port: 5, endPort: 5, protocol: SCTP}, {port: 65000, endPort: 65535, protocol: UDP}]}]}`,
			"lab/from": `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: "::/0"}}], ports: [{port: 1500, endPort: 65535}, {port: 1, endPort: 65535, protocol: UDP}, {port: 5, protocol: SCTP}]}]}`,
		},
		want: `
			outside   -> shop/db TCP  999   denied
			outside   -> shop/db TCP  1000  allowed
			outside   -> shop/db TCP  2000  allowed
			outside   -> shop/db TCP  2001  denied
			outside   -> shop/db SCTP 4     denied
			outside   -> shop/db SCTP 5     allowed
			outside   -> shop/db SCTP 6     denied
			outside   -> shop/db UDP  64999 denied
			outside   -> shop/db UDP  65000 allowed
			outside   -> shop/db UDP  65535 allowed
			lab/probe -> shop/db TCP  1499  denied
			lab/probe -> shop/db TCP  1500  allowed
			lab/probe -> shop/db TCP  2001  denied
			lab/probe -> shop/db SCTP 5     allowed
			lab/probe -> shop/db UDP  65000 allowed
			lab/probe -> outside TCP  1499  denied
			lab/probe -> outside TCP  1500  allowed
		`,
	},
	"S33 named ports differ per pod": {
		policies: map[string]string{
			"shop/p":    `{podSelector: {}, ingress: [{ports: [{port: http}, {port: dns, protocol: UDP}, {port: sig, protocol: SCTP}]}]}`,
			"lab/probe": `{podSelector: {matchLabels: {app: probe}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: http}]}]}`,
		},
		want: `
			lab/probe -> shop/web TCP  8080 allowed
			lab/probe -> shop/web TCP  8000 denied
			lab/probe -> shop/old TCP  8000 allowed
			lab/probe -> shop/old TCP  8080 denied
			lab/probe -> shop/db  TCP  8080 denied
			lab/probe -> shop/web UDP  5353 denied
			outside   -> shop/web UDP  5353 allowed
			outside   -> shop/web SCTP 3868 allowed
			outside   -> shop/web UDP  8080 denied
			outside   -> shop/old UDP  5353 denied
			outside   -> shop/old SCTP 3868 denied
			outside   -> shop/old TCP  8000 allowed
		`,
	},
	"S34 an outside address has no names": {
		policies: map[string]string{
			"lab/probe": `{podSelector: {matchLabels: {app: probe}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: "::/0"}}], ports: [{port: http}]}]}`,
		},
		want: `
			lab/probe -> shop/web TCP 8080 allowed
			lab/probe -> shop/old TCP 8000 allowed
			lab/probe -> shop/old TCP 8080 denied
			lab/probe -> outside  TCP 8080 denied
			lab/probe -> outside  TCP 8000 denied
			lab/probe -> node:two TCP 8080 denied
		`,
	},
	"S35 SCTP is evaluated like TCP and UDP": {
		policies: map[string]string{
			"shop/db":   `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: lab}}}], ports: [{port: 7, protocol: SCTP}]}]}`,
			"lab/probe": `{podSelector: {matchLabels: {app: probe}}, policyTypes: [Egress], egress: [{ports: [{port: 7, protocol: SCTP}, {port: 8, protocol: SCTP}]}]}`,
		},
		want: `
			lab/probe -> shop/db  SCTP 7 allowed
			lab/far   -> shop/db  SCTP 7 allowed
			lab/probe -> shop/db  SCTP 8 denied
			lab/far   -> shop/db  SCTP 8 denied
			lab/far   -> shop/db  TCP  7 denied
			shop/web  -> shop/db  SCTP 7 denied
			lab/probe -> shop/web SCTP 8 allowed
			lab/probe -> outside  SCTP 8 allowed
			lab/probe -> outside  SCTP 9 denied
			lab/probe -> outside  UDP  8 denied
		`,
	},
	"S36 protocols without ports pass only rules without ports": {
		policies: map[string]string{
			"shop/db":  `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], ingress: [{ports: [{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}]}], egress: [{ports: [{port: 1, endPort: 65535}]}]}`,
			"shop/web": `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {matchLabels: {team: lab}}}]}], egress: [{to: [{ipBlock: {cidr: 192.168.126.254/32}}, {ipBlock: {cidr: "fd00:192:168:126::fe/128"}}]}]}`,
		},
		want: `
			lab/probe -> shop/db  ICMP  denied
			lab/probe -> shop/db  50 denied
			shop/db   -> outside  ICMP  denied
			shop/db   -> outside  50 denied
			shop/db   -> node:one ICMP  denied
			lab/probe -> shop/db  TCP 1 allowed
			lab/probe -> shop/web ICMP  allowed
			lab/probe -> shop/web 50 allowed
			lab/far   -> shop/web ICMP  allowed
			outside   -> shop/web ICMP  denied
			outside   -> shop/web 50 denied
			shop/web  -> outside  ICMP  allowed
			shop/web  -> lab/far  ICMP  denied
			shop/web  -> node:one ICMP  denied
		`,
	},
	"S41 a pod reaches itself": {
		policies: map[string]string{"shop/deny": denyAll},
		services: `
			web TCP  80 -> shop/web 8080
			dns UDP  53 -> shop/web 5353
			sig SCTP 1  -> shop/web 3868
			all TCP  81 -> shop/web 8080 masquerade
		`,
		want: `
			shop/web  -> shop/web TCP  8080 allowed
			shop/web  -> shop/web UDP  8080 allowed
			shop/web  -> shop/web SCTP 8080 allowed
			shop/web  -> shop/web ICMP      allowed
			shop/web  -> service:web        allowed
			shop/web  -> service:dns        allowed
			shop/web  -> service:sig        allowed
			shop/web  -> service:all        allowed
			shop/db   -> service:web        denied
			shop/db   -> service:dns        denied
			lab/probe -> service:web        denied
			lab/probe -> service:all        denied
		`,
	},
	"S42 replies are allowed regardless of the opposite direction": {
		policies: map[string]string{
			"shop/web": `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], egress: [{}]}`,
			"shop/db":  `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], ingress: [{}]}`,
		},
		want: `
			shop/web -> shop/db  TCP  5432 allowed
			shop/web -> shop/db  UDP  5432 allowed
			shop/web -> shop/db  SCTP 5432 allowed
			shop/web -> shop/db  ICMP      allowed
			shop/web -> outside  TCP  80   allowed
			shop/web -> outside  50 allowed
			outside  -> shop/db  TCP  5432 allowed
			outside  -> shop/db  UDP  5432 allowed
			outside  -> shop/db  50 allowed
			shop/web -> node:one TCP  80   allowed
			shop/db  -> shop/web TCP  80   denied
			shop/db  -> shop/web UDP  80   denied
			shop/db  -> shop/web SCTP 80   denied
			shop/db  -> shop/web ICMP      denied
			shop/db  -> outside  TCP  80   denied
			outside  -> shop/web TCP  80   denied
		`,
	},
}

// TestSemantics runs each test case in a new lab with a new dataplane.
func TestSemantics(t *testing.T) {
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t, r.policies)
			if r.services != "" {
				s.serve(r.services)
			}
			s.want(r.want)
		})
	}
}

// Ingress from the pod's own node is always allowed, because the kubelet may send its probes
// from any address of the node (S40).
func TestS40NodeToPod(t *testing.T) {
	t.Parallel()
	s := newCluster(t, map[string]string{
		"shop/deny": denyAll,
		"lab/p":     `{podSelector: {matchLabels: {app: probe}}, policyTypes: [Ingress, Egress], ingress: [{from: [{ipBlock: {cidr: 192.168.126.2/32}}, {ipBlock: {cidr: "fd00:192:168:126::2/128"}}], ports: [{port: 1}]}], egress: [{to: [{ipBlock: {cidr: 192.168.126.1/32}}, {ipBlock: {cidr: "fd00:192:168:126::1/128"}}], ports: [{port: 10250}]}]}`,
	})
	s.gateway("shop/web", "10.244.1.1/32", "fd00:10:244:1::1/128")
	s.start()
	s.want(`
		node:one                  -> shop/web  TCP  8080  allowed
		node:one                  -> shop/web  UDP  8080  allowed
		node:one                  -> shop/web  SCTP 8080  allowed
		node:one                  -> shop/web  ICMP       allowed
		node:one                  -> shop/web  50         allowed
		10.244.1.1@node:one       -> shop/web  TCP  8080  allowed
		fd00:10:244:1::1@node:one -> shop/web  TCP  8080  allowed
		10.244.1.1@node:one       -> shop/web  ICMP       allowed
		fd00:10:244:1::1@node:one -> shop/web  ICMP       allowed
		10.244.1.1@node:one       -> shop/db   UDP  1     allowed
		fd00:10:244:1::1@node:one -> shop/db   UDP  1     allowed
		node:two                  -> shop/web  TCP  8080  denied
		node:two                  -> shop/web  UDP  8080  denied
		node:two                  -> shop/web  ICMP       denied
		node:two                  -> lab/probe TCP  1     allowed
		node:two                  -> lab/probe TCP  2     denied
		node:one                  -> lab/probe TCP  2     allowed
		shop/web                  -> node:one  TCP  10250 denied
		shop/web                  -> node:one  UDP  10250 denied
		shop/web                  -> node:one  ICMP       denied
		lab/probe                 -> node:one  TCP  10250 allowed
		lab/probe                 -> node:one  TCP  10251 denied
		lab/probe                 -> node:two  TCP  10250 denied
		shop/web                  -> node:two  TCP  10250 denied
	`)
}
