package node

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// TestMetricsAreDocumented compares the agent's metrics with the table in
// docs/agent.md.
func TestMetricsAreDocumented(t *testing.T) {
	registry := prometheus.NewRegistry()
	if _, err := newMetrics(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var served, explained []string
	for _, family := range families {
		served = append(served, family.GetName())
	}
	content, err := os.ReadFile("../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `(sluice_agent_\\w+)(?:\\{\\w+\\})?` \\|").FindAllStringSubmatch(string(content), -1) {
		explained = append(explained, match[1])
	}
	slices.Sort(served)
	slices.Sort(explained)
	if diff := cmp.Diff(served, explained); diff != "" {
		t.Errorf("the table of docs/agent.md (-metrics +documented):\n%s", diff)
	}
}
