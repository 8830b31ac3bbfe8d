package read

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/internal/field"
	"github.com/sluicenet/sluice/policy/label"
)

// Group is the API group of ClusterNetworkPolicies.
const Group = v1beta1.GroupName

// Versions lists the versions of ClusterNetworkPolicies that this package reads. If an API server
// serves several of them, use the first one.
var Versions = []string{"v1beta1", "v1alpha2"}

// ClusterNetworkPolicy converts a ClusterNetworkPolicy of version v1beta1 or v1alpha2. Both
// versions have the same meaning. ClusterNetworkPolicy returns a Policy even if it returns errors,
// which are also in Policy.Errors.
//
// A part of the object cannot be understood if it contains an unknown field or an invalid value, or
// if it does not contain the one field that defines its meaning. A newer version of the API can be
// the cause. Such parts never allow traffic that the author did not intend to allow:
//
//   - If a part of a rule cannot be understood, an Accept rule is invalid and matches nothing. A
//     rule with any other action denies all traffic of its direction.
//   - If spec.tier, spec.priority or spec.subject cannot be understood, or if the spec has an unknown
//     field, all Accept rules are invalid, and all Pass rules become Deny rules with the same peers
//     and ports. The default tier is Admin and the default priority is 0, which take precedence over
//     all others. Requirements of the subject that cannot be understood are omitted, and an unknown
//     kind of subject is replaced by all pods.
//
// Domain names are understood but not supported. In an Accept rule, a peer with domain names matches
// nothing, and the other peers of the rule still match. A Deny or Pass rule with such a peer denies
// all traffic of its direction.
func ClusterNetworkPolicy(in *unstructured.Unstructured) (*policy.Policy, policy.FieldErrors) {
	var r clusterPolicyReader
	spec := r.spec(in.Object["spec"])
	out := &policy.Policy{
		Name: in.GetName(), UID: string(in.GetUID()), Generation: in.GetGeneration(),
		Tier: r.tier(spec["tier"]), Priority: r.priority(spec["priority"]), Subject: r.subject(spec["subject"]),
	}
	restricted := len(r.errors) > 0
	r.explain(0, "until this is fixed, no Accept rule of the policy applies, and its Pass rules deny")
	out.Ingress = r.rules(out.Tier, rule.Ingress, spec["ingress"])
	out.Egress = r.rules(out.Tier, rule.Egress, spec["egress"])
	if restricted {
		restrict(out.Ingress)
		restrict(out.Egress)
	}
	out.Errors = r.errors
	return out, out.Errors
}

// maxPriority is the highest priority value that the API allows.
const maxPriority = 1000

// clusterPolicyReader reads the parts of one ClusterNetworkPolicy.
type clusterPolicyReader struct{ reader }

// restrict makes sure that the rules allow nothing and pass nothing to a later tier.
func restrict(rules []policy.Rule) {
	for i := range rules {
		switch rules[i].Action {
		case rule.ActionAccept:
			rules[i].Invalid = true
		case rule.ActionPass:
			rules[i].Action = rule.ActionDeny
		}
	}
}

func (r *clusterPolicyReader) spec(in any) map[string]any {
	spec, isObject := in.(map[string]any)
	if !isObject {
		r.errors.Add("spec", "the field is missing or is not an object: set tier, priority, subject and rules")
	}
	r.onlyFields("spec", spec, "tier", "priority", "subject", "ingress", "egress")
	return spec
}

func (r *clusterPolicyReader) tier(in any) rule.Tier {
	switch in {
	case string(v1beta1.AdminTier):
		return rule.AdminTier
	case string(v1beta1.BaselineTier):
		return rule.BaselineTier
	}
	r.errors.Add("spec.tier", "%s: want Admin or Baseline", found(in))
	return rule.AdminTier
}

func (r *clusterPolicyReader) priority(in any) int32 {
	var priority *int32
	if r.decode(field.Path{Parent: "spec.priority"}, in, &priority) && priority == nil {
		r.errors.Add("spec.priority", "the field is missing: set it to a number from 0 to %d", maxPriority)
	}
	if priority == nil {
		return 0
	}
	if *priority < 0 || *priority > maxPriority {
		r.errors.Add("spec.priority", "%d: want 0 to %d", *priority, maxPriority)
	}
	return min(max(*priority, 0), maxPriority)
}

func (r *clusterPolicyReader) subject(in any) policy.PodSet {
	at := field.Path{Parent: "spec.subject"}
	var subject v1beta1.ClusterNetworkPolicySubject
	all := policy.PodSet{Namespaces: label.NewSelector(nil)}
	if !r.decode(at, in, &subject) {
		return all
	}
	pods, _ := r.podSet(at, in, subject.Namespaces, subject.Pods)
	if !pods.Namespaces.Present() {
		return all
	}
	return pods
}

// rules reads the list `ingress` or `egress`.
func (r *clusterPolicyReader) rules(tier rule.Tier, d rule.Direction, in any) []policy.Rule {
	if in == nil {
		return nil
	}
	list, isList := in.([]any)
	if !isList {
		list = []any{in}
	}
	out := make([]policy.Rule, len(list))
	for i := range list {
		out[i] = r.rule(d, ruleField(d, i), list[i])
		out[i].Tier = tier
		if !isList {
			out[i].Field = fmt.Sprintf("spec.%s", d)
		}
	}
	return out
}

// rule reads one rule.
func (r *clusterPolicyReader) rule(d rule.Direction, at string, in any) policy.Rule {
	before := len(r.errors)
	list := "to"
	if d == rule.Ingress {
		list = "from"
	}
	fields, understood := in.(map[string]any)
	if !understood {
		r.errors.Add(at, "the value is not a rule: write an object with an action and the list `%s`", list)
	}
	out := policy.Rule{Direction: d, Field: at}
	var steps [5]bool
	steps[0] = r.onlyFields(at, fields, "name", "action", list, "protocols")
	steps[1] = r.decode(field.Path{Parent: at}.Child("name"), fields["name"], &out.Name)
	out.Action, steps[2] = r.action(at, fields["action"])
	out.Peers, steps[3] = r.peers(&out, list, fields[list])
	out.Ports, steps[4] = r.protocols(at, fields["protocols"])
	if understood = understood && !slices.Contains(steps[:], false); understood {
		// An Accept rule has no peers here if all its peers have domain names.
		out.Invalid = len(out.Peers) == 0
		return out
	}
	if out.Action == rule.ActionAccept {
		out.Invalid = true
		r.explain(before, "until this is fixed, the rule matches nothing")
		return out
	}
	out.Action, out.Peers, out.Ports = rule.ActionDeny, nil, nil
	r.explain(before, "until this is fixed, the rule denies every connection in its direction")
	return out
}

// action reads the action of the rule at a path. If the action is unknown, the result is
// ActionDeny, and understood is false.
func (r *clusterPolicyReader) action(at string, in any) (a rule.Action, understood bool) {
	switch in {
	case string(v1beta1.ClusterNetworkPolicyRuleActionAccept):
		return rule.ActionAccept, true
	case string(v1beta1.ClusterNetworkPolicyRuleActionDeny):
		return rule.ActionDeny, true
	case string(v1beta1.ClusterNetworkPolicyRuleActionPass):
		return rule.ActionPass, true
	}
	r.errors.Add(at+".action", "%s: want Accept, Deny or Pass", found(in))
	return rule.ActionDeny, false
}
