package demo

import (
	"fmt"
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/policy"
)

// Change is something that happens in the cluster while the dataplane runs.
type Change struct {
	// Command is what a user would type for it.
	Command string
	Apply   func(*policy.Snapshot)
}

// ExampleChanges are changes for the example: a pod becomes a frontend, and the
// namespace default gets a default policy.
func ExampleChanges() []Change {
	deny := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default-deny-ingress"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}},
	}
	return []Change{
		{
			Command: "kubectl label pod dns role=frontend --overwrite",
			Apply:   func(s *policy.Snapshot) { label(s, "default", "dns", "role", "frontend") },
		},
		{
			Command: "kubectl apply -f default-deny-ingress.yaml",
			Apply:   func(s *policy.Snapshot) { s.UpsertPolicy(deny) },
		},
	}
}

// label changes a label of a pod.
func label(s *policy.Snapshot, namespace, name, key, value string) {
	for _, p := range s.Pods() {
		if p.Namespace == namespace && p.Name == name {
			labels := maps.Clone(p.Labels)
			if labels == nil {
				labels = map[string]string{}
			}
			labels[key] = value
			p.Labels = labels
			s.UpsertPod(p)
		}
	}
}

// changesFor takes the policy away that stands behind most refusals, and brings
// it back.
func changesFor(s *policy.Snapshot, cells []*Cell) []Change {
	refusals := map[string]int{}
	for _, c := range cells {
		for _, side := range []side{c.Egress, c.Ingress} {
			if !side.allows() {
				for _, name := range side.IsolatedBy {
					refusals[name]++
				}
			}
		}
	}
	var most *networkingv1.NetworkPolicy
	for _, np := range s.Policies() {
		if n := refusals[nameOf(np)]; n > 0 && (most == nil || n > refusals[nameOf(most)]) {
			most = np
		}
	}
	if most == nil {
		return nil
	}
	return []Change{
		{
			Command: fmt.Sprintf("kubectl delete networkpolicy %s --namespace %s", most.Name, most.Namespace),
			Apply:   func(s *policy.Snapshot) { s.DeletePolicy(most.Namespace, most.Name) },
		},
		{
			Command: fmt.Sprintf("kubectl apply -f %s.yaml", most.Name),
			Apply:   func(s *policy.Snapshot) { s.UpsertPolicy(most) },
		},
	}
}

func nameOf(np *networkingv1.NetworkPolicy) string { return np.Namespace + "/" + np.Name }

// difference is one pair of ends and a port whose mark is another now.
type difference struct {
	from, to *End
	port     Port
	was, is  mark
}

// differences compares what the wire showed before and after. Both are the
// cells of one grid.
func differences(before, after []*Cell) []difference {
	type pair struct {
		from, to *End
		port     Port
	}
	group := func(cells []*Cell) (map[pair][]*Cell, []pair) {
		groups, order := map[pair][]*Cell{}, []pair{}
		for _, c := range cells {
			k := pair{c.From, c.To, c.Port}
			if groups[k] == nil {
				order = append(order, k)
			}
			groups[k] = append(groups[k], c)
		}
		return groups, order
	}
	was, order := group(before)
	is, _ := group(after)
	var out []difference
	for _, k := range order {
		if a, b := markOf(was[k], byWire), markOf(is[k], byWire); a != b {
			out = append(out, difference{k.from, k.to, k.port, a, b})
		}
	}
	return slices.Clip(out)
}

// differences writes them, those with the same target and ports together.
func (p *page) differences(all []difference, ports []Port) {
	if len(all) == 0 {
		p.line("    nothing changes on the wire")
		return
	}
	type group struct {
		to      *End
		was, is mark
		ports   []Port
		from    []*End
	}
	var pairs, groups []*group
	for _, d := range all {
		i := slices.IndexFunc(pairs, func(g *group) bool {
			return g.from[0] == d.from && g.to == d.to && g.was == d.was && g.is == d.is
		})
		if i < 0 {
			i = len(pairs)
			pairs = append(pairs, &group{to: d.to, was: d.was, is: d.is, from: []*End{d.from}})
		}
		pairs[i].ports = append(pairs[i].ports, d.port)
	}
	for _, pair := range pairs {
		i := slices.IndexFunc(groups, func(g *group) bool {
			return g.to == pair.to && g.was == pair.was && g.is == pair.is && slices.Equal(g.ports, pair.ports)
		})
		if i < 0 {
			groups = append(groups, pair)
			continue
		}
		groups[i].from = append(groups[i].from, pair.from...)
	}
	for _, g := range groups {
		p.line("    %s now %s  into %s, %s", p.paint(g.was.style(), string(g.was)), p.paint(g.is.style(), string(g.is)),
			p.paint(bold, g.to.Name), someOf(g.ports, ports))
		p.list("             from ", endNames(g.from))
	}
}
