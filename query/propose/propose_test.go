package propose_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/propose"
	"github.com/sluicenet/sluice/test/cluster"
)

const shop = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: jobs}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db, tier: "1"}}, status: {podIPs: [{ip: 10.0.0.1}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: cache, namespace: shop, labels: {app: db, tier: "2"}}, status: {podIPs: [{ip: 10.0.0.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: backup, namespace: jobs, labels: {app: backup, pod-template-hash: x}}, status: {podIPs: [{ip: 10.0.0.3}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: bare, namespace: jobs}, status: {podIPs: [{ip: 10.0.0.4}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: shop}, spec: {podSelector: {}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: jobs}, spec: {podSelector: {}, policyTypes: [Egress]}}
`

func read(t *testing.T, text string) (*inventory.Set, *query.Cluster) {
	t.Helper()
	set, err := manifest.Read([]string{"-"}, strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	c := query.NewCluster(set)
	t.Cleanup(func() { _ = c.Close() })
	return set, c
}

func propose1(t *testing.T, text, src, dst string) *propose.Proposal {
	t.Helper()
	set, c := read(t, text)
	p, err := propose.New(set, c, query.ExplainQuestion{From: src, To: dst, Target: query.Target{Port: "5432", Protocol: "TCP"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBothSides(t *testing.T) {
	p := propose1(t, shop, "10.0.0.3", "10.0.0.1")
	const want = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-backup-to-db-egress
  namespace: jobs
spec:
  podSelector:
    matchLabels:
      app: backup
  policyTypes:
  - Egress
  egress:
  - to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: shop
      podSelector:
        matchLabels:
          tier: "1"
    ports:
    - protocol: TCP
      port: 5432
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-backup-to-db-ingress
  namespace: shop
spec:
  podSelector:
    matchLabels:
      tier: "1"
  policyTypes:
  - Ingress
  ingress:
  - from:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: jobs
      podSelector:
        matchLabels:
          app: backup
    ports:
    - protocol: TCP
      port: 5432
`
	if diff := cmp.Diff(want, p.Text()); diff != "" {
		t.Error(diff)
	}
	if len(p.Notes)+len(p.Obstacles) > 0 {
		t.Errorf("notes %q, obstacles %q", p.Notes, p.Obstacles)
	}
}

func TestPodWithoutLabels(t *testing.T) {
	p := propose1(t, shop, "10.0.0.4", "10.0.0.1")
	if len(p.Notes) != 2 || !strings.Contains(p.Notes[0], "No label distinguishes jobs/bare from jobs/backup") {
		t.Errorf("notes = %q", p.Notes)
	}
}

func TestAddress(t *testing.T) {
	p := propose1(t, shop, "192.0.2.1", "10.0.0.1")
	if len(p.Policies) != 1 || !strings.Contains(p.Text(), "cidr: 192.0.2.1/32") {
		t.Errorf("proposal:\n%s", p.Text())
	}
}

func TestAllowedFlow(t *testing.T) {
	p := propose1(t, shop, "10.0.0.1", "192.0.2.1")
	if p.Verdict != "Allow" || len(p.Policies) != 0 {
		t.Errorf("proposal = %+v", p)
	}
}

func TestTiers(t *testing.T) {
	const policies = `
---
apiVersion: policy.networking.k8s.io/v1beta1
kind: ClusterNetworkPolicy
metadata: {name: no-jobs}
spec:
  tier: %s
  priority: 1
  subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}
  ingress:
  - action: Deny
    from: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: jobs}}}]
`
	for tier, want := range map[string]string{
		"Admin":    "no-jobs of the Admin tier denies the flow at ingress. No NetworkPolicy can allow it",
		"Baseline": "no-jobs of the Baseline tier denies the flow at ingress. A NetworkPolicy that selects the pod replaces",
	} {
		text := strings.Replace(shop, "{name: deny, namespace: shop}, spec: {podSelector: {}}", "{name: deny, namespace: shop}, spec: {podSelector: {}, policyTypes: [Egress]}", 1)
		p := propose1(t, text+fmt.Sprintf(policies, tier), "10.0.0.3", "10.0.0.1")
		if len(p.Obstacles) != 1 || !strings.Contains(p.Obstacles[0], want) || len(p.Policies) != 1 {
			t.Errorf("%s: obstacles = %q, policies = %d", tier, p.Obstacles, len(p.Policies))
		}
	}
}

// TestExactlyTheFlow evaluates all flows between pods before and after the proposed policies for
// random denied flows. The policies must allow the flow. They must change no other flows except
// those between pods that the selectors cannot distinguish from the pods of the flow.
func TestExactlyTheFlow(t *testing.T) {
	proposals := 0
	for seed := range uint64(12) {
		random := cluster.NewRandom(cluster.Seeded(seed))
		for range 60 {
			random.Step()
		}
		var text strings.Builder
		if err := random.WriteManifests(&text); err != nil {
			t.Fatal(err)
		}
		set, before := read(t, text.String())
		for i := range 30 {
			f := random.Flow(4 + i%2*2)
			target := query.Target{Port: strconv.Itoa(int(f.DstPort)), Protocol: f.Protocol.String()}
			p, err := propose.New(set, before, query.ExplainQuestion{From: f.Src.String(), To: f.Dst.String(), Target: target})
			if err != nil { // Neither end is a pod.
				continue
			}
			missing := strings.Contains(strings.Join(p.Notes, ""), "no Namespace object")
			if len(p.Policies) == 0 || len(p.Obstacles) > 0 || !f.Protocol.HasPorts() || f.DstPort == 0 || f.Src.Is4In6() || f.Dst.Is4In6() || missing {
				continue
			}
			proposals++
			_, after := read(t, text.String()+"---\n"+p.Text())
			checkEffect(t, set, before, after, f, p)
		}
	}
	if proposals < 20 {
		t.Errorf("only %d proposals were checked", proposals)
	}
}

func checkEffect(t *testing.T, set *inventory.Set, before, after *query.Cluster, f flow.Flow, p *propose.Proposal) {
	t.Helper()
	verdict := func(c *query.Cluster, f flow.Flow) rule.Verdict {
		v, err := c.Verdict(f)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if verdict(after, f) != rule.Allow {
		t.Errorf("%v is still denied with\n%s", f, p.Text())
	}
	var addresses []netip.Addr
	for i := range set.Pods {
		addresses = append(addresses, set.Pods[i].Addresses...)
	}
	sources, destinations := similar(set, f.Src), similar(set, f.Dst)
	for _, g := range otherFlows(addresses, f) {
		if verdict(before, g) == verdict(after, g) {
			continue
		}
		if g.DstPort != f.DstPort || g.Protocol != f.Protocol {
			t.Errorf("another port: %v changed for %v with\n%s", g, f, p.Text())
		}
		if len(p.Notes) == 0 && (!slices.Contains(sources, g.Src) && !slices.Contains(destinations, g.Dst)) {
			t.Errorf("%v changed for %v with\n%s", g, f, p.Text())
		}
	}
}

// otherFlows returns the flows between all addresses of the family of f, on the port of f and on
// another port.
func otherFlows(addresses []netip.Addr, f flow.Flow) (out []flow.Flow) {
	for _, src := range addresses {
		for _, dst := range addresses {
			if src.Is4() != f.Src.Is4() || dst.Is4() != f.Src.Is4() {
				continue
			}
			for _, port := range []uint16{f.DstPort, f.DstPort + 1} {
				out = append(out, flow.Flow{Src: src, Dst: dst, Protocol: f.Protocol, DstPort: port})
			}
		}
	}
	return out
}

// similar returns the addresses of all pods that belong to the same workload as an address.
func similar(set *inventory.Set, a netip.Addr) []netip.Addr {
	out := []netip.Addr{a}
	for i := range set.Pods {
		p := &set.Pods[i]
		if !slices.Contains(p.Addresses, a) {
			continue
		}
		for j := range set.Pods {
			if q := &set.Pods[j]; q.Pod.Namespace == p.Pod.Namespace && q.Workload == p.Workload && q.Controller == p.Controller {
				out = append(out, q.Addresses...)
			}
		}
	}
	return out
}
