// Package prometheus_test checks that alerts and dashboards use only metrics that exist.
package prometheus_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/controllers/enforcer/desired"
)

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// documented returns the metrics in the reference documentation, which is generated from the code.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	text := read(t, "../../docs/reference/metrics.md")
	// Prometheus itself creates the metric `up` for each target.
	names := map[string]bool{"up": true}
	for _, match := range regexp.MustCompile("(?m)^\\| `(sluice_\\w+)").FindAllStringSubmatch(text, -1) {
		names[match[1]] = true
	}
	return names
}

// checkExpression parses a PromQL expression and checks that each metric in it exists.
func checkExpression(t *testing.T, where, text string, known map[string]bool) {
	t.Helper()
	expression, err := parser.ParseExpr(text)
	if err != nil {
		t.Errorf("%s: %s: %v", where, text, err)
		return
	}
	found := 0
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		found++
		name := selector.Name
		for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
			if base, cut := strings.CutSuffix(name, suffix); cut && known[base] {
				return nil
			}
		}
		t.Errorf("%s: metric %s does not exist", where, name)
		return nil
	})
	if found == 0 {
		t.Errorf("%s: %s has no metric", where, text)
	}
}

func TestAlerts(t *testing.T) {
	var rules struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Alert, Expr, For    string
					Labels, Annotations map[string]string
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "rules.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	known, names := documented(t), []string{}
	for _, group := range rules.Spec.Groups {
		for _, rule := range group.Rules {
			names = append(names, rule.Alert)
			checkExpression(t, rule.Alert, rule.Expr, known)
			if _, err := time.ParseDuration(rule.For); err != nil {
				t.Errorf("%s: for: %v", rule.Alert, err)
			}
			if !slices.Contains([]string{"critical", "warning"}, rule.Labels["severity"]) {
				t.Errorf("%s: severity %q: want critical or warning", rule.Alert, rule.Labels["severity"])
			}
			checkRunbook(t, rule.Alert, rule.Annotations["runbook_url"])
			if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("%s has no summary or no description", rule.Alert)
			}
			// If the expression drops a label, the text of the alert shows an empty value for this
			// label.
			for _, match := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(rule.Annotations["summary"]+rule.Annotations["description"], -1) {
				if by := regexp.MustCompile(`by \(([^)]*)\)`).FindStringSubmatch(rule.Expr); by != nil && !strings.Contains(by[1], match[1]) {
					t.Errorf("%s uses label %s, which its expression drops", rule.Alert, match[1])
				}
			}
		}
	}
	for _, want := range []string{
		"SluiceNodeNotEnforcing", "SluiceQueueDrops", "SluiceGenerationLag", "SluiceAgentWithoutAPIServer",
		"SluiceEnforcerNotAvailable", "SluiceEnforcerDegraded", "SluiceNodesWithoutPod", "SluiceRolloutBlocked", "SluiceUninstallStuck",
		"SluicePoliciesNotEnforced",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("alert %s does not exist", want)
		}
	}
}

// checkRunbook checks that the link of an alert points to the section about the alert.
func checkRunbook(t *testing.T, alert, link string) {
	t.Helper()
	const page = "https://github.com/sluicenet/sluice/blob/main/docs/troubleshooting.md"
	if want := page + "#" + strings.ToLower(alert); link != want {
		t.Errorf("%s links to %q, want %s", alert, link, want)
	}
	if !strings.Contains(read(t, "../../docs/troubleshooting.md"), "\n### "+alert+"\n") {
		t.Errorf("docs/troubleshooting.md has no section %s", alert)
	}
}

// TestDashboardOfLargeCluster checks that the number of time series in each panel is independent of
// the number of nodes.
func TestDashboardOfLargeCluster(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			text := strings.NewReplacer("$__rate_interval", "5m", "$node", ".*").Replace(target.Expr)
			expression, err := parser.ParseExpr(text)
			if err != nil {
				t.Fatal(err)
			}
			if !bounded(expression) {
				t.Errorf("%s: %s returns a time series for each node: use topk, or aggregate the nodes", panel.Title, text)
			}
		}
	}
}

// bounded reports whether the number of time series that an expression returns is independent of
// the number of nodes.
func bounded(expression parser.Expr) bool {
	switch e := expression.(type) {
	case *parser.NumberLiteral:
		return true
	case *parser.ParenExpr:
		return bounded(e.Expr)
	case *parser.AggregateExpr:
		return e.Op == parser.TOPK || e.Op == parser.BOTTOMK || !e.Without && !slices.Contains(e.Grouping, "node")
	case *parser.BinaryExpr:
		return bounded(e.LHS) && bounded(e.RHS)
	case *parser.Call:
		return e.Func.Name == "vector" || len(e.Args) > 0 && bounded(e.Args[len(e.Args)-1])
	case *parser.MatrixSelector:
		return bounded(e.VectorSelector)
	case *parser.VectorSelector:
		return strings.HasPrefix(e.Name, "sluice_enforcer_") || e.Name == "sluice_policies" || e.Name == "sluice_cluster_policies"
	}
	return false
}

func TestDashboard(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	known, ids := documented(t), map[int]bool{}
	var shown strings.Builder
	occupied := map[[2]int]string{}
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] {
			t.Errorf("%s: another panel has id %d", panel.Title, panel.ID)
		}
		ids[panel.ID] = true
		for x := range panel.GridPos.W {
			for y := range panel.GridPos.H {
				cell := [2]int{panel.GridPos.X + x, panel.GridPos.Y + y}
				if other := occupied[cell]; other != "" || cell[0] >= 24 {
					t.Fatalf("%s overlaps with %q or is outside of the page", panel.Title, other)
				}
				occupied[cell] = panel.Title
			}
		}
		if panel.Type == "row" {
			continue
		}
		if len(panel.Targets) == 0 {
			t.Errorf("%s has no target", panel.Title)
		}
		for _, target := range panel.Targets {
			// Grafana would replace these variables.
			text := strings.NewReplacer("$__rate_interval", "5m", "$node", ".*").Replace(target.Expr)
			checkExpression(t, panel.Title, text, known)
			shown.WriteString(text + "\n")
		}
	}
	for _, metric := range []string{
		"sluice_dataplane_conntrack_entries", "sluice_dataplane_conntrack_max_entries",
		"sluice_dataplane_flooding_pod_flows_per_second", "sluice_dataplane_flood_queue_packets_total",
	} {
		if !strings.Contains(shown.String(), metric+"{") {
			t.Errorf("no panel shows %s", metric)
		}
	}
}

// TestEndpointsOfAlertsExist checks that alerts refer only to ports that the enforcing pods
// have.
func TestEndpointsOfAlertsExist(t *testing.T) {
	endpoints := regexp.MustCompile(`endpoint="([^"]+)"`).FindAllStringSubmatch(read(t, "rules.yaml"), -1)
	if len(endpoints) == 0 {
		t.Error("no alert has a port")
	}
	for _, endpoint := range endpoints {
		if name := endpoint[1]; name != desired.AgentMetrics && name != desired.DataplaneMetrics {
			t.Errorf("the Service has no port %s", name)
		}
	}
}
