package main

import (
	"bufio"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/live"
)

// problemsShown bounds how many nodes and policies one listing for people names.
const problemsShown = 20

// heartbeatLimit is the age from which a node's report says nothing any more.
const heartbeatLimit = time.Minute

// clusterReport is what is enforced in a cluster, and what is not.
type clusterReport struct {
	Cluster string `json:"cluster"`
	// Enforced reports that every node that should enforce does, and every policy
	// is in force.
	Enforced bool            `json:"enforced"`
	Enforcer *enforcerReport `json:"enforcer"`
	Nodes    countReport     `json:"nodes"`
	Policies countReport     `json:"policies"`
}

type enforcerReport struct {
	Nodes      v1alpha1.NodeCounts `json:"nodes"`
	Conditions []metav1.Condition  `json:"conditions"`
}

// countReport counts objects, and lists those that are not as they should be.
type countReport struct {
	Count    int       `json:"count"`
	Problems []problem `json:"problems"`
}

// problem is a node or policy that is not as it should be.
type problem struct {
	Name string `json:"name"`
	// Enforced is false where something is not in force that should be.
	Enforced bool   `json:"enforced"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
}

func statusOfCluster(cmd *cobra.Command, cluster *clusterPlace, out *output) error {
	connection, err := cluster.connectTo(cmd)
	if err != nil {
		return err
	}
	reports, err := connection.Reports(cmd.Context())
	if err != nil {
		return err
	}
	r := newClusterReport(connection.Name, reports, time.Now())
	if out.json() {
		err = writeJSON(cmd.OutOrStdout(), r)
	} else {
		err = r.write(cmd.OutOrStdout())
	}
	if err == nil && !r.Enforced {
		return errReported
	}
	return err
}

func newClusterReport(name string, reports *live.Reports, now time.Time) *clusterReport {
	r := &clusterReport{
		Cluster:  name,
		Nodes:    countReport{Count: len(reports.Nodes), Problems: []problem{}},
		Policies: countReport{Count: len(reports.Policies), Problems: []problem{}},
	}
	if e := reports.Enforcer; e != nil {
		r.Enforcer = &enforcerReport{Nodes: e.Status.Nodes, Conditions: e.Status.Conditions}
		r.Enforced = meta.IsStatusConditionTrue(e.Status.Conditions, string(v1alpha1.ConditionAvailable))
	}
	for i := range reports.Nodes {
		r.Nodes.add(nodeProblems(&reports.Nodes[i], now)...)
	}
	for i := range reports.Policies {
		r.Policies.add(policyProblems(&reports.Policies[i])...)
	}
	for _, list := range [][]problem{r.Nodes.Problems, r.Policies.Problems} {
		for i := range list {
			r.Enforced = r.Enforced && list[i].Enforced
		}
	}
	return r
}

func (c *countReport) add(problems ...problem) { c.Problems = append(c.Problems, problems...) }

// nodeProblems says what is wrong with a node, the worst first.
func nodeProblems(n *v1alpha1.NodeEnforcer, now time.Time) []problem {
	s := &n.Status
	if s.Heartbeat == nil {
		return []problem{{Name: n.Name, Reason: "NoHeartbeat", Message: "its agent has not reported yet"}}
	}
	if now.Sub(s.Heartbeat.Time) > heartbeatLimit {
		return []problem{{Name: n.Name, Reason: "NoHeartbeat", Message: fmt.Sprintf("its agent last reported %s ago", ago(now, s.Heartbeat.Time))}}
	}
	var problems []problem
	for _, want := range []struct {
		condition v1alpha1.ConditionType
		status    metav1.ConditionStatus
		enforced  bool
	}{{v1alpha1.ConditionReady, metav1.ConditionTrue, false}, {v1alpha1.ConditionSynced, metav1.ConditionTrue, false}, {v1alpha1.ConditionDegraded, metav1.ConditionFalse, true}} {
		if p, ok := deviation(n.Name, s.Conditions, want.condition, want.status); ok {
			p.Enforced = want.enforced
			problems = append(problems, p)
		}
	}
	if p, a := s.Published, s.Acknowledged; len(problems) == 0 && p != nil && (a == nil || a.Number < p.Number) {
		enforced := int64(0)
		if a != nil {
			enforced = a.Number
		}
		problems = append(problems, problem{Name: n.Name, Enforced: true, Reason: "Behind", Message: fmt.Sprintf("generation %d is published, %d enforced", p.Number, enforced)})
	}
	return problems
}

// policyProblems says what is wrong with a policy.
func policyProblems(p *v1alpha1.PolicyStatus) []problem {
	name := p.Namespace + "/" + p.Name
	var problems []problem
	if found, ok := deviation(name, p.Status.Conditions, v1alpha1.ConditionEnforced, metav1.ConditionTrue); ok {
		problems = append(problems, found)
	}
	for i := range p.Status.Findings {
		f := &p.Status.Findings[i]
		if f.Severity == v1alpha1.SeverityNote {
			continue
		}
		message := f.Message
		if f.Field != "" {
			message = f.Field + ": " + message
		}
		problems = append(problems, problem{Name: name, Enforced: true, Reason: f.Check, Message: message})
	}
	return problems
}

// deviation reports a condition that is not as it should be. One that is missing
// is not either, if it should be True.
func deviation(name string, conditions []metav1.Condition, kind v1alpha1.ConditionType, want metav1.ConditionStatus) (problem, bool) {
	c := meta.FindStatusCondition(conditions, string(kind))
	switch {
	case c == nil && want == metav1.ConditionTrue:
		return problem{Name: name, Reason: "Unknown", Message: fmt.Sprintf("condition %s is not reported yet", kind)}, true
	case c == nil || c.Status == want:
		return problem{}, false
	}
	return problem{Name: name, Reason: c.Reason, Message: c.Message}, true
}

// write writes the report for people.
func (r *clusterReport) write(out io.Writer) error {
	w := bufio.NewWriter(out)
	switch {
	case r.Enforcer == nil:
		fmt.Fprintf(w, "Cluster %s: NOT enforced, for there is no Enforcer. Ask for one:\n", r.Cluster)
		fmt.Fprint(w, "  echo '{\"apiVersion\":\"policy.sluice.dev/v1alpha1\",\"kind\":\"Enforcer\",\"metadata\":{\"name\":\"default\"}}' | kubectl create -f -\n")
	case r.Enforced:
		fmt.Fprintf(w, "Cluster %s: enforced on %d of %s.\n", r.Cluster, r.Enforcer.Nodes.Ready, number(int(r.Enforcer.Nodes.Desired), "node", "nodes"))
	default:
		fmt.Fprintf(w, "Cluster %s: NOT all enforced; %d of %s ready.\n", r.Cluster, r.Enforcer.Nodes.Ready, number(int(r.Enforcer.Nodes.Desired), "node", "nodes"))
	}
	if r.Enforcer != nil {
		for _, c := range r.Enforcer.Conditions {
			fmt.Fprintf(w, "  %-12s %-6s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
		}
	}
	r.Nodes.write(w, "node", "nodes")
	r.Policies.write(w, "policy", "policies")
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	return nil
}

func (c *countReport) write(w io.Writer, one, many string) {
	fmt.Fprintf(w, "\n%s", number(c.Count, one, many))
	if len(c.Problems) == 0 {
		fmt.Fprintln(w, ", nothing wrong")
		return
	}
	fmt.Fprintf(w, ", %s:\n", number(len(c.Problems), "problem", "problems"))
	for i, p := range c.Problems {
		if i == problemsShown {
			fmt.Fprintf(w, "  and %d more; -o json lists them\n", len(c.Problems)-i)
			break
		}
		fmt.Fprintf(w, "  %s  %s: %s\n", p.Name, p.Reason, p.Message)
	}
}
