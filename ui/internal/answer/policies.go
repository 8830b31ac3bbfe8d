package answer

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/question"
	"github.com/sluicenet/sluice/ui/source"
)

// policySummary is one line in the list of policies.
type policySummary struct {
	// Name is "namespace/name", or only the name of a ClusterNetworkPolicy.
	Name       string `json:"name"`
	PolicyKind string `json:"policyKind"`
	Namespace  string `json:"namespace,omitempty"`
	// Tier and Priority are set only for a ClusterNetworkPolicy.
	Tier     string `json:"tier,omitempty"`
	Priority int32  `json:"priority,omitempty"`
	Subject  string `json:"subject"`
	// Ingress and Egress are true if the policy affects this direction.
	Ingress bool `json:"ingress"`
	Egress  bool `json:"egress"`
	// Workloads contains the Refs of the selected workloads.
	Workloads []string `json:"workloads"`
	Errors    int      `json:"errors"`
	Warnings  int      `json:"warnings"`
	// Enforced is the condition Enforced of the policy. It is null if the source has no status of
	// the policy, for example because the source contains only manifests.
	Enforced *metav1.Condition `json:"enforced"`
}

// policyDetails describes one policy.
type policyDetails struct {
	query.TypeMeta
	policySummary
	Manifest *source.Manifest `json:"manifest"`
	// ManifestError states why there is no manifest.
	ManifestError string          `json:"manifestError,omitempty"`
	RuleList      []ruleDetails   `json:"ruleList"`
	Findings      []query.Finding `json:"findings"`
}

// ruleDetails describes one rule of a policy.
type ruleDetails struct {
	Direction string `json:"direction"`
	Index     int    `json:"index"`
	Action    string `json:"action"`
	Text      string `json:"text"`
	// Line is the line of the manifest on which the rule begins, counted from 1. It is 0 if there is
	// no manifest.
	Line int `json:"line"`
}

// policies answers which policies exist, and which of them have problems.
func (s *Server) policies(v *view, _ *http.Request) (any, error) {
	lint, err := v.findings()
	if err != nil {
		return nil, err
	}
	found := map[string][]query.Finding{}
	for _, f := range lint.Findings {
		found[f.Policy] = append(found[f.Policy], f)
	}
	out := struct {
		query.TypeMeta
		Policies []policySummary `json:"policies"`
	}{query.NewTypeMeta("Policies"), []policySummary{}}
	for i := range v.set.Policies {
		p := &v.set.Policies[i]
		out.Policies = append(out.Policies, s.summary(p, found[p.String()], v.selected(p.String())))
	}
	return out, nil
}

func (s *Server) summary(p *inventory.Policy, findings []query.Finding, workloads []string) policySummary {
	out := policySummary{
		Name: p.String(), PolicyKind: p.Kind(), Namespace: p.Scope, Subject: p.Subject.String(),
		Ingress: p.Affects(rule.Ingress), Egress: p.Affects(rule.Egress),
		Workloads: workloads,
	}
	if out.Workloads == nil {
		out.Workloads = []string{}
	}
	if p.Scope == "" {
		out.Tier, out.Priority = p.Tier.String(), p.Priority
	}
	for i := range findings {
		switch findings[i].Severity {
		case "error":
			out.Errors++
		case "warning":
			out.Warnings++
		}
	}
	if r := s.enforcement(out.Name); r != nil {
		for i := range r.Conditions {
			if r.Conditions[i].Type == string(v1alpha1.ConditionEnforced) {
				out.Enforced = &r.Conditions[i]
			}
		}
	}
	return out
}

// enforcement returns the reported status of a policy, or nil if there is none.
func (s *Server) enforcement(policy string) *v1alpha1.EnforcementStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reports.enforcement[policy]
}

// policy returns the policy with a name.
func (v *view) policy(name string) (*inventory.Policy, error) {
	for i := range v.set.Policies {
		if p := &v.set.Policies[i]; p.String() == name {
			return p, nil
		}
	}
	return nil, question.Errorf("policy", name, "no policy of that name")
}

// policy answers what one policy contains and selects.
func (s *Server) policy(v *view, r *http.Request) (any, error) {
	p, err := v.policy(r.FormValue("name"))
	if err != nil {
		return nil, err
	}
	return s.details(v, p, r)
}

func (s *Server) details(v *view, p *inventory.Policy, r *http.Request) (any, error) {
	lint, err := v.findings()
	if err != nil {
		return nil, err
	}
	out := &policyDetails{TypeMeta: query.NewTypeMeta("Policy"), RuleList: []ruleDetails{}, Findings: []query.Finding{}}
	for _, f := range lint.Findings {
		if f.Policy == p.String() {
			out.Findings = append(out.Findings, f)
		}
	}
	out.policySummary = s.summary(p, out.Findings, v.selected(p.String()))
	if out.Manifest, err = s.source.Manifest(r.Context(), p); err != nil {
		out.Manifest, out.ManifestError = &source.Manifest{Line: 1}, err.Error()
	}
	lines := manifest.LinesOf([]byte(out.Manifest.Text))
	for _, d := range []rule.Direction{rule.Ingress, rule.Egress} {
		for i := range p.Rules(d) {
			one := &p.Rules(d)[i]
			out.RuleList = append(out.RuleList, ruleDetails{
				Direction: d.String(), Index: i, Action: one.Action.String(), Text: one.String(),
				Line: lines.Of(one.Field),
			})
		}
	}
	return out, nil
}
