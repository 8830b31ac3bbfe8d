package policy_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/test/stage"
)

// shop is a cluster with two namespaces on two nodes.
const shop = `
	- {namespace: shop, labels: {team: red}}
	- {namespace: lab, labels: {team: blue}}
	- {node: one}
	- {node: two}
	- {pod: shop/web, node: one, labels: {app: web, tier: front}, ports: [http:8080/TCP]}
	- {pod: shop/db, node: two, labels: {app: db}, ports: [postgres:5432/TCP, metrics:9090/TCP]}
	- {pod: lab/web, node: two, labels: {app: web}, ports: [probe:8080/TCP]}
	- {pod: lab/bare, node: one}
`

var isolationRows = map[string]row{
	"S01 no pod is isolated": {shop, nil, `
		shop/web -> shop/db TCP 5432  | NotIsolated | NotIsolated
		lab/web  -> shop/db ICMP      | NotIsolated | NotIsolated
		8.8.8.8  -> shop/db UDP 53    | External    | NotIsolated
		shop/web -> 8.8.8.8 UDP 53    | NotIsolated | External
	`},
	"S01 a policy isolates its own pods and directions only": {shop, map[string]string{
		"shop/db": `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}`,
	}, `
		shop/web -> shop/db  TCP 5432 | NotIsolated | Denied by shop/db
		shop/db  -> shop/web TCP 8080 | NotIsolated | NotIsolated
		shop/web -> lab/web  TCP 8080 | NotIsolated | NotIsolated
	`},
	"S02 rules of all policies add up, in any order": {shop, map[string]string{
		"shop/a-deny":  `{podSelector: {}, policyTypes: [Ingress]}`,
		"shop/b-web":   `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`,
		"shop/c-ports": `{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 22}]}, {ports: [{port: 9090}]}]}`,
		"shop/d-deny":  `{podSelector: {}, policyTypes: [Ingress]}`,
	}, `
		shop/web -> shop/db  TCP 80   | NotIsolated | Rule shop/b-web[0]
		shop/web -> shop/db  TCP 9090 | NotIsolated | Rule shop/b-web[0]
		lab/web  -> shop/db  TCP 9090 | NotIsolated | Rule shop/c-ports[1]
		lab/web  -> shop/db  TCP 80   | NotIsolated | Denied by shop/a-deny shop/b-web shop/c-ports shop/d-deny
		lab/web  -> shop/web TCP 80   | NotIsolated | Denied by shop/a-deny shop/d-deny
	`},
	"S02 both sides must allow": {shop, map[string]string{
		"shop/out": `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 5432}]}]}`,
		"shop/in":  `{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 5432}, {port: 9090}]}]}`,
	}, `
		shop/web -> shop/db TCP 5432 | Rule shop/out[0]   | Rule shop/in[0]
		shop/web -> shop/db TCP 9090 | Denied by shop/out | Rule shop/in[0]
		shop/web -> shop/db TCP 80   | Denied by shop/out | Denied by shop/in
		shop/web -> 8.8.8.8 TCP 5432 | Rule shop/out[0]   | External
	`},
	"S03 an empty podSelector selects the namespace": {shop, map[string]string{
		"shop/deny": `{podSelector: {}}`,
	}, `
		lab/web  -> shop/web TCP 8080 | NotIsolated | Denied by shop/deny
		lab/web  -> shop/db  TCP 5432 | NotIsolated | Denied by shop/deny
		shop/web -> lab/web  TCP 8080 | NotIsolated | NotIsolated
		shop/web -> lab/bare TCP 80   | NotIsolated | NotIsolated
	`},
	"S04 without policyTypes: ingress": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}}`,
	}, `
		shop/web -> shop/db TCP 5432 | NotIsolated | Denied by shop/p
		shop/db  -> 8.8.8.8 UDP 53   | NotIsolated | External
	`},
	"S04 without policyTypes: egress with an egress rule": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, egress: [{ports: [{port: 53, protocol: UDP}]}]}`,
	}, `
		shop/web -> shop/db TCP 5432 | NotIsolated      | Denied by shop/p
		shop/db  -> 8.8.8.8 UDP 53   | Rule shop/p[0]   | External
		shop/db  -> 8.8.8.8 TCP 53   | Denied by shop/p | External
	`},
	"S04 the default namespace is default": {`
		- {node: one}
		- {namespace: default}
		- {pod: default/a}
		- {pod: /b}
	`, map[string]string{"/p": `{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}`}, `
		default/a -> /b        TCP 80 | NotIsolated | Rule default/p[0]
		/b        -> default/a TCP 80 | NotIsolated | Rule default/p[0]
		8.8.8.8   -> default/a TCP 80 | External    | Denied by default/p
	`},
	"S05 rules of a direction that is not listed have no effect": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], ingress: [{ports: [{port: 80}]}]}`,
	}, `
		shop/web -> shop/db TCP 5432 | NotIsolated      | NotIsolated
		shop/db  -> 8.8.8.8 TCP 80   | Denied by shop/p | External
	`},
	"S06 without rules everything is denied": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], ingress: []}`,
	}, `
		shop/web -> shop/db  TCP 5432 | NotIsolated      | Denied by shop/p
		shop/web -> shop/db  ICMP     | NotIsolated      | Denied by shop/p
		shop/db  -> shop/web TCP 8080 | Denied by shop/p | NotIsolated
		shop/db  -> 8.8.8.8  47       | Denied by shop/p | External
	`},
	"S06 one empty rule allows everything": {shop, map[string]string{
		"shop/deny": `{podSelector: {}, policyTypes: [Ingress, Egress]}`,
		"shop/open": `{podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`,
	}, `
		lab/web  -> shop/db  SCTP 1   | NotIsolated         | Rule shop/open[0]
		8.8.8.8  -> shop/db  47       | External            | Rule shop/open[0]
		shop/db  -> 8.8.8.8  ICMP     | Rule shop/open[0]   | External
		shop/db  -> shop/web TCP 8080 | Rule shop/open[0]   | Denied by shop/deny
	`},
	"S07 matchLabels and matchExpressions are ANDed": {shop, map[string]string{
		"shop/p": `{podSelector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: In, values: [front, back]}]}}`,
		"lab/p":  `{podSelector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: In, values: [front, back]}]}}`,
	}, `
		shop/db -> shop/web TCP 8080 | NotIsolated | Denied by shop/p
		shop/db -> lab/web  TCP 8080 | NotIsolated | NotIsolated
	`},
	"S07 NotIn and DoesNotExist match a missing key": {shop, map[string]string{
		"shop/p": `{podSelector: {}, ingress: [
			{from: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web, db]}]}}], ports: [{port: 1}]},
			{from: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]}}], ports: [{port: 2}]},
			{from: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: app, operator: Exists}]}}], ports: [{port: 3}]},
			{from: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: app, operator: In, values: [db, web]}]}}], ports: [{port: 4}]}]}`,
	}, `
		lab/bare -> shop/db TCP 1 | NotIsolated | Rule shop/p[0]
		lab/bare -> shop/db TCP 2 | NotIsolated | Rule shop/p[1]
		lab/bare -> shop/db TCP 3 | NotIsolated | Denied by shop/p
		lab/bare -> shop/db TCP 4 | NotIsolated | Denied by shop/p
		lab/web  -> shop/db TCP 1 | NotIsolated | Denied by shop/p
		lab/web  -> shop/db TCP 2 | NotIsolated | Denied by shop/p
		lab/web  -> shop/db TCP 3 | NotIsolated | Rule shop/p[2]
		lab/web  -> shop/db TCP 4 | NotIsolated | Rule shop/p[3]
	`},
	"S07 a label with an empty value is a label": {`
		- {node: one}
		- {namespace: x}
		- {pod: x/a, labels: {app: ""}}
		- {pod: x/b}
		- {pod: x/c}
	`, map[string]string{"x/p": `{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: ""}}}]}]}`}, `
		x/a -> x/c TCP 80 | NotIsolated | Rule x/p[0]
		x/b -> x/c TCP 80 | NotIsolated | Denied by x/p
	`},
}

const fromRedWeb = `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {app: web}}}]}]}`

func theCurrentLabelsCount(t *testing.T) {
	s := newFixture(t, shop, stage.Policy(t, "shop/p", fromRedWeb))
	s.want(`
		shop/web -> shop/db TCP 5432 | NotIsolated | Rule shop/p[0]
		lab/web  -> shop/db TCP 5432 | NotIsolated | Denied by shop/p
		shop/web -> lab/web TCP 8080 | NotIsolated | NotIsolated
	`)
	s.edit("shop/web", func(p *corev1.Pod) { p.Labels["app"] = "worker" })
	s.want(`shop/web -> shop/db TCP 5432 | NotIsolated | Denied by shop/p`)
	s.edit("shop/web", func(p *corev1.Pod) { p.Labels["app"] = "web" })
	s.want(`shop/web -> shop/db TCP 5432 | NotIsolated | Rule shop/p[0]`)
	s.edit("shop/web", func(p *corev1.Pod) { delete(p.Labels, "app") })
	s.want(`shop/web -> shop/db TCP 5432 | NotIsolated | Denied by shop/p`)

	s.set(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lab", Labels: map[string]string{"team": "red"}}})
	s.want(`lab/web -> shop/db TCP 5432 | NotIsolated | Rule shop/p[0]`)
	s.set(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "lab"}})
	s.want(`lab/web -> shop/db TCP 5432 | NotIsolated | Denied by shop/p`)

	s.edit("shop/db", func(p *corev1.Pod) { p.Labels["app"] = "web" })
	s.want(`lab/web -> shop/db TCP 5432 | NotIsolated | NotIsolated`)
	s.edit("shop/web", func(p *corev1.Pod) { p.Labels["app"] = "db" })
	s.want(`
		shop/db -> shop/web TCP 8080 | NotIsolated | Rule shop/p[0]
		lab/web -> shop/web TCP 8080 | NotIsolated | Denied by shop/p
	`)
}

// When a class no longer contains any address, its number can be assigned to another class.
// Rules that allowed the old class must not match pods in the new class.
func earlierLabelsHaveNoEffect(t *testing.T) {
	s := newFixture(t, `
		- {namespace: x}
		- {node: one}
		- {node: two}
		- {pod: x/a, node: one, labels: {app: a}}
		- {pod: x/b, node: one, labels: {app: b}}
		- {pod: x/c, node: two}
	`,
		stage.Policy(t, "x/a", `{podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {matchLabels: {peer: a}}}]}]}`),
		stage.Policy(t, "x/b", `{podSelector: {matchLabels: {app: b}}, ingress: [{from: [{podSelector: {matchLabels: {peer: b}}}]}]}`))
	for range 3 {
		s.edit("x/c", func(p *corev1.Pod) { p.Labels["peer"] = "a" })
		s.want(`
			x/c -> x/a TCP 80 | NotIsolated | Rule x/a[0]
			x/c -> x/b TCP 80 | NotIsolated | Denied by x/b
		`)
		s.edit("x/c", func(p *corev1.Pod) { delete(p.Labels, "peer") })
		s.publish()
		s.want(`
			x/c -> x/a TCP 80 | NotIsolated | Denied by x/a
			x/c -> x/b TCP 80 | NotIsolated | Denied by x/b
		`)
		s.edit("x/c", func(p *corev1.Pod) { p.Labels["peer"] = "b" })
		s.want(`
			x/c -> x/a TCP 80 | NotIsolated | Denied by x/a
			x/c -> x/b TCP 80 | NotIsolated | Rule x/b[0]
		`)
	}
}

func hostNetworkPodsArePartOfTheirNode(t *testing.T) {
	s := newFixture(t, shop,
		stage.Policy(t, "shop/web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {}}]}], egress: [{to: [{namespaceSelector: {}}], ports: [{port: probe}]}]}`),
		stage.Policy(t, "lab/web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress]}`))
	s.want(`shop/web -> lab/web TCP 8080 | Rule shop/web[0] | Denied by lab/web`)
	s.edit("lab/web", func(p *corev1.Pod) {
		p.Spec.HostNetwork = true
		stage.SetAddresses(p, "192.168.0.2", "fd01::2")
	})
	s.want(`
		lab/web  -> shop/web TCP 8080 | External           | Denied by shop/web
		shop/web -> lab/web  TCP 8080 | Denied by shop/web | External
		lab/web  -> shop/db  TCP 5432 | External           | SameNode
		lab/web  -> 8.8.8.8  TCP 443  | External           | External
	`)
	s.edit("lab/web", func(p *corev1.Pod) { stage.SetAddresses(p, "192.168.0.77", "fd01::77") })
	s.want(`lab/web -> shop/db TCP 5432 | External | SameNode`)
	s.edit("lab/web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
	s.want(`lab/web -> shop/db TCP 5432 | External | NotIsolated`)
}

func finishedPodsMatchNothing(t *testing.T) {
	s := newFixture(t, shop, stage.Policy(t, "shop/p", `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}]}`))
	for _, phase := range []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed} {
		s.edit("shop/web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning })
		s.want(`
			shop/web -> shop/db  TCP 5432 | Denied by shop/p | Rule shop/p[0]
			lab/web  -> shop/web TCP 8080 | NotIsolated      | Denied by shop/p
		`)
		s.edit("shop/web", func(p *corev1.Pod) { p.Status.Phase = phase })
		s.want(`
			shop/web -> shop/db  TCP 5432 | External    | Denied by shop/p
			lab/web  -> shop/web TCP 8080 | NotIsolated | External
		`)
	}
	for _, phase := range []corev1.PodPhase{corev1.PodPending, corev1.PodUnknown} {
		s.edit("shop/web", func(p *corev1.Pod) { p.Status.Phase = phase })
		s.want(`shop/web -> shop/db TCP 5432 | Denied by shop/p | Rule shop/p[0]`)
	}
	s.edit("shop/web", func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	})
	s.want(`shop/web -> shop/db TCP 5432 | Denied by shop/p | Rule shop/p[0]`)
}

func theRunningAndNewestPodHasTheAddress(t *testing.T) {
	s := newFixture(t, shop, stage.Policy(t, "shop/p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`))
	const allowed, denied = `10.0.0.1 -> shop/db TCP 5432 | NotIsolated | Rule shop/p[0]`, `10.0.0.1 -> shop/db TCP 5432 | NotIsolated | Denied by shop/p`
	twin := s.pod("shop/web")
	twin.Name, twin.Labels = "a-twin", nil
	twin.Spec.NodeName = "two"
	twin.CreationTimestamp = metav1.NewTime(time.Unix(100, 0))
	s.want(allowed)
	s.set(twin.DeepCopy())
	s.want(denied)
	twin.Status.Phase = corev1.PodPending
	s.set(twin.DeepCopy())
	s.want(allowed)
	s.edit("shop/web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodUnknown })
	s.want(denied)
	s.edit("shop/web", func(p *corev1.Pod) { p.CreationTimestamp = twin.CreationTimestamp })
	s.want(allowed) // shop/web sorts after shop/a-twin.
	s.edit("shop/web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
	s.want(denied)
	s.remove(twin)
	s.want(`10.0.0.1 -> shop/db TCP 5432 | External | Denied by shop/p`)
}

func allAddressesBelongToThePod(t *testing.T) {
	s := newFixture(t, shop, stage.Policy(t, "shop/p", `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`))
	s.edit("shop/web", func(p *corev1.Pod) { stage.SetAddresses(p, "10.1.0.1", "fd10::1") })
	s.want(`
		10.1.0.1 -> shop/db  TCP 5432 | Denied by shop/p | Rule shop/p[0]
		fd10::1  -> shop/db  TCP 5432 | Denied by shop/p | Rule shop/p[0]
		10.0.0.1 -> shop/db  TCP 5432 | External         | Denied by shop/p
		lab/web  -> shop/web TCP 8080 | NotIsolated      | Denied by shop/p
	`)
	s.edit("shop/web", func(p *corev1.Pod) { stage.SetAddresses(p) })
	s.want(`
		10.1.0.1 -> shop/db TCP 5432 | External | Denied by shop/p
		fd10::1  -> shop/db TCP 5432 | External | Denied by shop/p
	`)
	s.edit("shop/web", func(p *corev1.Pod) { p.Status.PodIP = "10.1.0.1" }) // status.podIPs was added later than status.podIP.
	s.want(`10.1.0.1 -> shop/db TCP 5432 | Denied by shop/p | Rule shop/p[0]`)
}

func anAddressThatMovesCarriesNothingOver(t *testing.T) {
	s := newFixture(t, shop,
		stage.Policy(t, "shop/db", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`),
		stage.Policy(t, "shop/web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], egress: [{}]}`))
	s.want(`
		10.0.0.1 -> shop/db  TCP 5432 | Rule shop/web[0] | Rule shop/db[0]
		lab/web  -> 10.0.0.1 TCP 80   | NotIsolated      | Denied by shop/web
	`)
	old := s.pod("shop/web")
	successor := s.pod("lab/bare")
	successor.Status = old.Status
	s.remove(old)
	s.set(successor.DeepCopy())
	const moved = `
		10.0.0.1 -> shop/db  TCP 5432 | NotIsolated | Denied by shop/db
		lab/web  -> 10.0.0.1 TCP 80   | NotIsolated | NotIsolated
	`
	s.want(moved)
	s.set(old) // Add the deleted Pod object again. Then let the pod fail.
	s.edit("shop/web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
	s.want(moved)
	s.remove(successor)
	s.edit("shop/web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning })
	s.want(`10.0.0.1 -> shop/db TCP 5432 | Rule shop/web[0] | Rule shop/db[0]`)
}
