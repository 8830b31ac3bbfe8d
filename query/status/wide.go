package status

import (
	"bufio"
	"io"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/internal/table"
)

// WriteWide writes the text with tables of all nodes and all policies.
func (s *Cluster) WriteWide(out io.Writer) error {
	w := bufio.NewWriter(out)
	s.write(w, len(s.Nodes.Problems)+len(s.Policies.Problems))
	nodes := table.New("node", "ready", "synced", "responding", "published", "enforced", "pods", "isolated", "policies",
		"allowed", "denied", "dropped", "kernel").Right(4, 5, 6, 7, 8, 9, 10, 11)
	for i := range s.reports.Nodes {
		addNode(nodes, &s.reports.Nodes[i])
	}
	policies := table.New("policy", "enforced", "understood", "pods", "nodes", "enforcing", "rules", "findings").Right(3, 4, 5, 6, 7)
	for i := range s.reports.Policies {
		p := &s.reports.Policies[i]
		addPolicy(policies, p.Namespace+"/"+p.Name, &p.Status)
	}
	for i := range s.reports.ClusterPolicies {
		p := &s.reports.ClusterPolicies[i]
		addPolicy(policies, "ClusterNetworkPolicy "+p.Name, &p.Status)
	}
	for _, t := range []*table.Table{nodes, policies} {
		_ = w.WriteByte('\n') // A writer with a buffer returns its error when it is flushed.
		writeTable(w, t, "")
	}
	return flush(w)
}

func addNode(t *table.Table, n *v1alpha1.NodeEnforcer) {
	s := &n.Status
	kernel := ""
	if s.Kernel != nil {
		kernel = s.Kernel.Release
	}
	t.Row(n.Name, value(s.Conditions, v1alpha1.ConditionReady), value(s.Conditions, v1alpha1.ConditionSynced),
		value(s.Conditions, v1alpha1.ConditionResponding), generation(s.Published), generation(s.Acknowledged),
		count(int64(s.Pods.Local)), count(int64(s.Pods.Isolated)), count(int64(s.Policies)),
		count(s.Verdicts.Allowed), count(s.Verdicts.Denied), count(s.QueueDrops), table.Cell(kernel))
}

func addPolicy(t *table.Table, name string, s *v1alpha1.EnforcementStatus) {
	t.Row(name, value(s.Conditions, v1alpha1.ConditionEnforced), value(s.Conditions, v1alpha1.ConditionUnderstood),
		count(int64(s.Pods)), count(int64(s.Nodes.Needed)), count(int64(s.Nodes.Enforcing)), count(int64(s.Rules)), count(int64(len(s.Findings))))
}

// value returns the status of a condition.
func value(conditions []metav1.Condition, kind v1alpha1.ConditionType) string {
	c := meta.FindStatusCondition(conditions, string(kind))
	if c == nil {
		return table.None
	}
	return string(c.Status)
}

func generation(g *v1alpha1.Generation) string {
	if g == nil {
		return table.None
	}
	return count(g.Number)
}

func count(n int64) string { return strconv.FormatInt(n, 10) }
