package status

import (
	"bufio"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/internal/table"
	"github.com/sluicenet/sluice/query"
)

// maxProblems is the maximum number of problems that WriteText lists for nodes, and also the
// maximum number that it lists for policies.
const maxProblems = 20

// Reports contains the objects in which the operator and the agents report the
// state of a cluster.
type Reports struct {
	// Enforcer is nil if the cluster contains no Enforcer.
	Enforcer *v1alpha1.Enforcer
	Nodes    []v1alpha1.NodeEnforcer
	Policies []v1alpha1.PolicyStatus
	// ClusterPolicies contains the statuses of ClusterNetworkPolicies.
	ClusterPolicies []v1alpha1.ClusterPolicyStatus
}

// Cluster states whether the nodes enforce their trees and whether the policies are
// enforced. It lists the problems of nodes and policies.
type Cluster struct {
	query.TypeMeta
	Cluster string `json:"cluster"`
	// Enforced is true if every node that the Enforcer selects enforces a tree, and every
	// policy is enforced.
	Enforced bool `json:"enforced"`
	// Enforcer is null if the cluster contains no Enforcer.
	Enforcer *Enforcer `json:"enforcer"`
	Nodes    Objects   `json:"nodes"`
	// Policies contains NetworkPolicies and ClusterNetworkPolicies.
	Policies Objects `json:"policies"`

	reports Reports
}

// Enforcer is the status of the cluster's Enforcer object.
type Enforcer struct {
	Nodes      v1alpha1.NodeCounts `json:"nodes"`
	Conditions []metav1.Condition  `json:"conditions"`
}

// Objects contains the number of nodes or policies, and their problems.
type Objects struct {
	Count    int       `json:"count"`
	Problems []Problem `json:"problems"`
}

// Problem is one problem of a node or of a policy.
type Problem struct {
	Name string `json:"name"`
	// Enforced is false if the problem prevents the enforcement of a tree or of a policy.
	Enforced bool   `json:"enforced"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
}

// NewCluster summarizes the reports of a cluster.
func NewCluster(cluster string, r Reports) *Cluster {
	s := &Cluster{
		TypeMeta: query.NewTypeMeta("ClusterStatus"),
		Cluster:  cluster,
		Nodes:    Objects{Count: len(r.Nodes), Problems: []Problem{}},
		Policies: Objects{Count: len(r.Policies) + len(r.ClusterPolicies), Problems: []Problem{}},
		reports:  r,
	}
	if e := r.Enforcer; e != nil {
		s.Enforcer = &Enforcer{Nodes: e.Status.Nodes, Conditions: e.Status.Conditions}
		s.Enforced = meta.IsStatusConditionTrue(e.Status.Conditions, string(v1alpha1.ConditionAvailable))
	}
	for i := range r.Nodes {
		s.addProblems(&s.Nodes, nodeProblems(&r.Nodes[i]))
	}
	for i := range r.Policies {
		p := &r.Policies[i]
		s.addProblems(&s.Policies, policyProblems(p.Namespace+"/"+p.Name, &p.Status))
	}
	for i := range r.ClusterPolicies {
		p := &r.ClusterPolicies[i]
		s.addProblems(&s.Policies, policyProblems("ClusterNetworkPolicy "+p.Name, &p.Status))
	}
	return s
}

func (s *Cluster) addProblems(to *Objects, problems []Problem) {
	to.Problems = append(to.Problems, problems...)
	for i := range problems {
		s.Enforced = s.Enforced && problems[i].Enforced
	}
}

// nodeProblems returns the problems of a node. The most severe problem comes first.
func nodeProblems(n *v1alpha1.NodeEnforcer) []Problem {
	s := &n.Status
	if meta.FindStatusCondition(s.Conditions, string(v1alpha1.ConditionReady)) == nil {
		return []Problem{{Name: n.Name, Reason: "NotReported", Message: n.NotEnforcing()}}
	}
	if c := meta.FindStatusCondition(s.Conditions, string(v1alpha1.ConditionResponding)); c != nil && c.Status == metav1.ConditionFalse {
		return []Problem{{Name: n.Name, Reason: c.Reason, Message: n.NotEnforcing()}}
	}
	var problems []Problem
	for _, want := range []struct {
		condition v1alpha1.ConditionType
		status    metav1.ConditionStatus
		enforced  bool
	}{
		{v1alpha1.ConditionReady, metav1.ConditionTrue, false},
		{v1alpha1.ConditionSynced, metav1.ConditionTrue, false},
		{v1alpha1.ConditionDegraded, metav1.ConditionFalse, true},
	} {
		if p, ok := conditionProblem(n.Name, s.Conditions, want.condition, want.status); ok {
			p.Enforced = want.enforced
			problems = append(problems, p)
		}
	}
	if p, ok := behind(n); ok && len(problems) == 0 {
		problems = append(problems, p)
	}
	if p, ok := unevaluated(n); ok {
		problems = append(problems, p)
	}
	return problems
}

// The function `unevaluated` returns a problem if the node accepted or dropped held packets of new
// pods without evaluating the packets, as its failure policy specifies. A node that is configured
// to hold no packets has no such problem.
func unevaluated(n *v1alpha1.NodeEnforcer) (Problem, bool) {
	c := meta.FindStatusCondition(n.Status.Conditions, string(v1alpha1.ConditionHeldPacketsEvaluated))
	if c == nil || c.Status != metav1.ConditionFalse {
		return Problem{}, false
	}
	switch v1alpha1.Reason(c.Reason) {
	case v1alpha1.ReasonHoldTimedOut, v1alpha1.ReasonTooManyHeldPackets, v1alpha1.ReasonNoAgent:
		return Problem{Name: n.Name, Enforced: true, Reason: c.Reason, Message: c.Message}, true
	}
	return Problem{}, false
}

// The function `behind` returns a problem if the node has not acknowledged the latest generation
// that its agent published.
func behind(n *v1alpha1.NodeEnforcer) (Problem, bool) {
	published, acknowledged := n.Status.Published, n.Status.Acknowledged
	var enforced int64
	if acknowledged != nil {
		enforced = acknowledged.Number
	}
	if published == nil || enforced >= published.Number {
		return Problem{}, false
	}
	message := fmt.Sprintf("generation %d is published, %d is enforced", published.Number, enforced)
	return Problem{Name: n.Name, Enforced: true, Reason: "Behind", Message: message}, true
}

// policyProblems returns the problems of a policy: one if the policy is not enforced, and one
// for each lint finding with severity error or warning.
func policyProblems(name string, s *v1alpha1.EnforcementStatus) []Problem {
	var problems []Problem
	if found, ok := conditionProblem(name, s.Conditions, v1alpha1.ConditionEnforced, metav1.ConditionTrue); ok {
		problems = append(problems, found)
	}
	for i := range s.Findings {
		f := &s.Findings[i]
		if f.Severity == v1alpha1.SeverityNote {
			continue
		}
		message := f.Message
		if f.Field != "" {
			message = f.Field + ": " + message
		}
		problems = append(problems, Problem{Name: name, Enforced: true, Reason: f.Check, Message: message})
	}
	return problems
}

// conditionProblem returns a problem if the condition's status differs from the wanted
// status. If the condition is missing, conditionProblem returns a problem only if the wanted
// status is True.
func conditionProblem(name string, conditions []metav1.Condition, kind v1alpha1.ConditionType, want metav1.ConditionStatus) (Problem, bool) {
	c := meta.FindStatusCondition(conditions, string(kind))
	switch {
	case c == nil && want == metav1.ConditionTrue:
		return Problem{Name: name, Reason: "Unknown", Message: fmt.Sprintf("condition %s is not reported yet", kind)}, true
	case c == nil || c.Status == want:
		return Problem{}, false
	}
	return Problem{Name: name, Reason: c.Reason, Message: c.Message}, true
}

// createEnforcer is the shell command that creates an Enforcer. WriteText suggests
// the command if the cluster contains no Enforcer.
const createEnforcer = `  echo '{"apiVersion":"policy.sluice.dev/v1alpha1","kind":"Enforcer","metadata":{"name":"default"}}' | kubectl create -f -`

// WriteText writes the status as human-readable text.
func (s *Cluster) WriteText(out io.Writer) error {
	w := bufio.NewWriter(out)
	s.write(w, maxProblems)
	return flush(w)
}

// write writes the status. It lists at most `limit` problems of nodes, and as many of policies.
func (s *Cluster) write(w *bufio.Writer, limit int) {
	if s.Enforcer == nil {
		fmt.Fprintf(w, "Cluster %s: NOT enforced, because there is no Enforcer. To create one:\n%s\n", s.Cluster, createEnforcer)
	} else {
		s.Enforcer.write(w, s.Cluster, s.Enforced)
	}
	s.Nodes.write(w, "node", "nodes", limit)
	s.Policies.write(w, "policy", "policies", limit)
}

// flush writes the buffered text.
func flush(w *bufio.Writer) error {
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	return nil
}

// writeTable writes a table. A writer with a buffer returns its error when it is flushed.
func writeTable(w *bufio.Writer, t *table.Table, indent string) { _ = t.Write(w, indent) }

func (e *Enforcer) write(w *bufio.Writer, cluster string, enforced bool) {
	nodes := number(int(e.Nodes.Desired), "node", "nodes")
	if enforced {
		fmt.Fprintf(w, "Cluster %s: enforced on %d of %s.\n", cluster, e.Nodes.Ready, nodes)
	} else {
		fmt.Fprintf(w, "Cluster %s: NOT fully enforced; %d of %s ready.\n", cluster, e.Nodes.Ready, nodes)
	}
	t := table.New("condition", "status", "reason", "message")
	for _, c := range e.Conditions {
		t.Row(c.Type, string(c.Status), c.Reason, c.Message)
	}
	if len(e.Conditions) > 0 {
		writeTable(w, t, "  ")
	}
}

func (o *Objects) write(w *bufio.Writer, one, many string, limit int) {
	fmt.Fprintf(w, "\n%s", number(o.Count, one, many))
	if len(o.Problems) == 0 {
		fmt.Fprintln(w, ", no problems")
		return
	}
	fmt.Fprintf(w, ", %s:\n", number(len(o.Problems), "problem", "problems"))
	t := table.New(one, "problem", "message")
	for _, p := range o.Problems[:min(len(o.Problems), limit)] {
		t.Row(p.Name, p.Reason, p.Message)
	}
	writeTable(w, t, "  ")
	if more := len(o.Problems) - limit; more > 0 {
		fmt.Fprintf(w, "  and %d more; -o wide lists them\n", more)
	}
}

// number returns a number and a noun, such as "1 node" or "2 nodes".
func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
