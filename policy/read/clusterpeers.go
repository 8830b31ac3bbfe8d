package read

import (
	"fmt"
	"net/netip"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/internal/field"
)

// peers reads the list `from` or `to` of a rule. The direction and the action of the rule must be
// set. If an entry cannot be understood, understood is false. Entries with domain names result in
// no peer.
func (r *clusterPolicyReader) peers(to *policy.Rule, list string, in any) (out []policy.Peer, understood bool) {
	entries, _ := in.([]any)
	if len(entries) == 0 {
		r.errors.Add(to.Field+"."+list, "the list is missing or empty: write at least one entry, such as {namespaces: {}} for all pods")
		return nil, false
	}
	understood = true
	for i, entry := range entries {
		at := field.Path{Parent: to.Field, List: list, Index: i}
		peer, ok := r.peer(at, to.Direction, entry)
		if !ok {
			understood = false
			out = append(out, policy.Peer{Entry: i, Invalid: true})
			continue
		}
		parts, ok := r.peerParts(at, to.Action, entry, &peer)
		understood = understood && ok
		for _, part := range parts {
			part.Entry = i
			out = append(out, part)
		}
	}
	return out, understood
}

// peer decodes an entry of the list `from` or `to`. An entry of `from` has only some of the fields
// of an entry of `to`.
func (r *clusterPolicyReader) peer(at field.Path, d rule.Direction, in any) (out v1beta1.ClusterNetworkPolicyEgressPeer, understood bool) {
	if d == rule.Egress {
		return out, r.decode(at, in, &out)
	}
	var source v1beta1.ClusterNetworkPolicyIngressPeer
	understood = r.decode(at, in, &source)
	return v1beta1.ClusterNetworkPolicyEgressPeer{Namespaces: source.Namespaces, Pods: source.Pods}, understood
}

// peerParts converts an entry of the list `from` or `to`. An entry with networks results in one
// peer for each network. An entry with domain names results in no peer. The parameter `in` is the
// decoded entry, and `raw` is the same entry as parsed JSON.
func (r *clusterPolicyReader) peerParts(at field.Path, action rule.Action, raw any, in *v1beta1.ClusterNetworkPolicyEgressPeer) (out []policy.Peer, understood bool) {
	switch set := countSet(in.Namespaces != nil, in.Pods != nil, in.Nodes != nil, len(in.Networks) > 0, len(in.DomainNames) > 0); {
	case set == 0:
		r.errors.Add(at.String(), "the entry has none of the supported fields: set one of them, such as namespaces or pods")
		return []policy.Peer{{Invalid: true}}, false
	case set > 1:
		r.errors.Add(at.String(), "the entry has several fields: write one entry for each field")
		return []policy.Peer{{Invalid: true}}, false
	case len(in.Networks) > 0:
		return r.networks(at, in.Networks)
	case len(in.DomainNames) > 0:
		return nil, r.domainNames(at.Child("domainNames"), action)
	case in.Nodes != nil:
		nodes, understood := r.selector(at.Child("nodes"), in.Nodes)
		return []policy.Peer{{OfNodes: true, Nodes: nodes, Invalid: !understood}}, understood
	default:
		pods, understood := r.podSet(at, raw, in.Namespaces, in.Pods)
		return []policy.Peer{{PodSet: pods, Invalid: !understood}}, understood
	}
}

func countSet(fields ...bool) (n int) {
	for _, set := range fields {
		if set {
			n++
		}
	}
	return n
}

// networks converts the networks of an entry. If a network cannot be understood, networks returns
// false.
func (r *clusterPolicyReader) networks(at field.Path, in []v1beta1.CIDR) (out []policy.Peer, understood bool) {
	understood = true
	for i, text := range in {
		prefix, err := netip.ParsePrefix(string(text))
		at := at.Child(fmt.Sprintf("networks[%d]", i))
		switch {
		case err != nil:
			r.errors.Add(at.String(), "%q is not a CIDR: write an address, a slash and a length, such as 10.0.0.0/8", text)
		case prefix.Addr().Is4In6():
			r.errors.Add(at.String(), "%q is an IPv4-mapped CIDR: write it as IPv4", text)
		case prefix != prefix.Masked():
			r.errors.Add(at.String(), "%q has bits behind its length: write %s", text, prefix.Masked())
		default:
			out = append(out, policy.Peer{Block: &policy.Block{CIDR: policy.CIDR{Prefix: prefix, Text: string(text)}}})
			continue
		}
		understood = false
		out = append(out, policy.Peer{Invalid: true})
	}
	return out, understood
}

// domainNames reports that domain names are not supported. It returns true for an Accept rule,
// because the other peers of such a rule can still match.
func (r *clusterPolicyReader) domainNames(at field.Path, a rule.Action) (understood bool) {
	if a == rule.ActionAccept {
		r.errors.Add(at.String(), "domain names are not supported, and the entry matches nothing: list the addresses in networks")
		return true
	}
	r.errors.Add(at.String(), "domain names are supported in Accept rules only: list the addresses in networks")
	return false
}

// podSet converts a set of pods from its fields `namespaces` and `pods`, exactly one of which must
// be set. The `raw` parameter is the same set as parsed JSON. podSet skips requirements that cannot
// be understood. In this case, or if a required field is missing, understood is false. If both
// fields are set or both are missing, the result contains no selector.
func (r *clusterPolicyReader) podSet(at field.Path, raw any, namespaces *metav1.LabelSelector, pods *v1beta1.NamespacedPod) (out policy.PodSet, understood bool) {
	switch {
	case namespaces != nil && pods == nil:
		out.Namespaces, understood = r.selector(at.Child("namespaces"), namespaces)
	case namespaces == nil && pods != nil:
		var ofNamespaces, ofPods bool
		at := at.Child("pods")
		out.Namespaces, ofNamespaces = r.selector(at.Child("namespaceSelector"), &pods.NamespaceSelector)
		out.Pods, ofPods = r.selector(at.Child("podSelector"), &pods.PodSelector)
		understood = ofNamespaces && ofPods
		fields, _ := raw.(map[string]any)
		if _, found, _ := unstructured.NestedFieldNoCopy(fields, "pods", "podSelector"); !found {
			r.errors.Add(at.Child("podSelector").String(), "the field is missing: write {} to select all pods")
			understood = false
		}
	default:
		r.errors.Add(at.String(), "want exactly one of namespaces and pods")
	}
	return out, understood
}
