// Package propose proposes NetworkPolicies that allow a denied flow. It only returns text. A user
// decides whether to create the policies.
package propose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/query"
)

// Proposal contains the smallest NetworkPolicies that allow a flow. The policies only add to what
// existing policies allow: each one selects pods that are already isolated in its direction.
type Proposal struct {
	query.TypeMeta
	// Verdict is the verdict for the flow without the proposed policies. If it is Allow, the
	// proposal contains no policies.
	Verdict string `json:"verdict"`
	// Policies contains one policy for each side that denies the flow: at most one for egress from
	// the source and one for ingress to the destination.
	Policies []Policy `json:"policies"`
	// Obstacles contains one sentence for each side that no NetworkPolicy can allow without other
	// effects. Even with all Policies, the flow stays denied while there are obstacles.
	Obstacles []string `json:"obstacles,omitempty"`
	// Notes contains sentences about what the policies allow in addition to the flow.
	Notes []string `json:"notes,omitempty"`
}

// Policy is one proposed NetworkPolicy.
type Policy struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Direction is "egress" or "ingress".
	Direction string `json:"direction"`
	// YAML is the manifest.
	YAML string `json:"yaml"`
}

// Text returns the manifests of all policies as a stream of YAML documents.
func (p *Proposal) Text() string {
	var all []string
	for i := range p.Policies {
		all = append(all, p.Policies[i].YAML)
	}
	return strings.Join(all, "---\n")
}

// New proposes policies that allow the flow of a question. If the destination is a Service, they
// allow the flow to its first denied backend. The cluster must contain the objects of the set.
func New(set *inventory.Set, cluster *query.Cluster, q query.ExplainQuestion) (*Proposal, error) {
	e, err := cluster.Explain(q)
	if err != nil {
		return nil, err
	}
	out := &Proposal{TypeMeta: query.NewTypeMeta("Proposal"), Verdict: e.Verdict, Policies: []Policy{}}
	if other := e.OtherFamily; other != nil && e.Egress.Verdict == rule.Allow.String() && e.Ingress.Verdict == rule.Allow.String() {
		e = other
	}
	out.add(set, e, rule.Egress)
	out.add(set, e, rule.Ingress)
	if e.Port == nil && len(out.Policies) > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("A NetworkPolicy cannot select the protocol %s, so the rules allow every protocol and port between these ends.", e.Protocol))
	}
	return out, nil
}

// add adds a policy or an obstacle for one side of the flow if this side denies the flow.
func (p *Proposal) add(set *inventory.Set, e *query.Explanation, d rule.Direction) {
	side, local, remote := &e.Egress, &e.From, &e.To
	if d == rule.Ingress {
		side, local, remote = &e.Ingress, &e.To, &e.From
	}
	subject := findPod(set, local.Pod)
	switch {
	case side.Verdict == rule.Allow.String():
	case side.Tier != "":
		p.Obstacles = append(p.Obstacles, obstacle(side, d))
	case subject == nil:
		p.Obstacles = append(p.Obstacles, fmt.Sprintf("No selector can select %s.", local))
	default:
		m := manifest{direction: d, namespace: subject.Pod.Namespace, protocol: e.Protocol, port: e.Port, remote: remote.Address}
		p.addPolicy(set, &m, subject, findPod(set, remote.Pod))
	}
}

func obstacle(side *report.Side, d rule.Direction) string {
	policy := "a ClusterNetworkPolicy"
	if side.Policy != nil {
		policy = "ClusterNetworkPolicy " + *side.Policy
	}
	if side.Tier == rule.BaselineTier.String() {
		return fmt.Sprintf("%s of the Baseline tier denies the flow at %s. A NetworkPolicy that selects the pod replaces the Baseline tier for this direction and denies everything that it does not allow, so it must list all flows of the pod.", policy, d)
	}
	return fmt.Sprintf("%s of the %s tier denies the flow at %s. No NetworkPolicy can allow it: an administrator must change the ClusterNetworkPolicy.", policy, side.Tier, d)
}

// addPolicy adds a policy that selects the pods of the subject's workload. If the `peer` parameter
// is nil, the other end of the flow is an address.
func (p *Proposal) addPolicy(set *inventory.Set, m *manifest, subject, peer *inventory.Pod) {
	var also []string
	if m.subject, also = selectorOf(set, subject); len(also) > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("No label distinguishes %s from %s, so the policy also selects these pods.", subject, few(also)))
	}
	other := m.remote.String()
	if peer != nil {
		other, m.peerNamespace = peer.Workload, peer.Pod.Namespace
		if m.peer, also = selectorOf(set, peer); len(also) > 0 {
			p.Notes = append(p.Notes, fmt.Sprintf("No label distinguishes %s from %s, so the policy also allows flows of these pods.", peer, few(also)))
		}
		if m.peerNamespace != m.namespace && slices.Contains(set.NamespacesWithoutObject(), m.peerNamespace) {
			p.Notes = append(p.Notes, fmt.Sprintf("The input contains no Namespace object for %s. The policy has an effect only if this object exists.", m.peerNamespace))
		}
	}
	m.name = nameOf(set, m.direction, m.namespace, subject.Workload, other)
	p.Policies = append(p.Policies, Policy{Namespace: m.namespace, Name: m.name, Direction: m.direction.String(), YAML: m.text()})
}

// findPod returns the pod with a name, or nil if a selector cannot match this pod.
func findPod(set *inventory.Set, name string) *inventory.Pod {
	for i := range set.Pods {
		if p := &set.Pods[i]; p.String() == name && !p.HostNetwork && !p.Finished {
			return p
		}
	}
	return nil
}

func few(names []string) string {
	const most = 3
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
