package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	operator "github.com/sluicenet/sluice/controllers/enforcer/metrics"
	"github.com/sluicenet/sluice/controllers/node"
	dataplane "github.com/sluicenet/sluice/dataplane/metrics"
	"github.com/sluicenet/sluice/dataplane/report"
)

// metricsPage returns the page that lists the metrics of all programs.
func metricsPage(string) (string, error) {
	var out strings.Builder
	out.WriteString(header("Metrics", `This page lists the metrics of Sluice. It is for administrators who write
		alerts and dashboards. [install.md](../install.md#metrics-alerts-dashboard) describes the alerts and the
		dashboard that Sluice contains.`))
	for _, program := range []struct {
		title, intro string
		register     func(prometheus.Registerer) error
	}{
		{"Dataplane", `The agent serves these metrics under the path ` + "`/metrics/dataplane`" + `.
			[operations.md](../operations.md#metrics) describes how to read them without an agent.`, registerDataplane},
		{"Agent", `The agent serves these metrics under the path ` + "`/metrics`" + `.
			[agent.md](../agent.md#metrics) describes who can read them.`, node.RegisterMetrics},
		{"Operator", `The active operator serves these metrics under the path ` + "`/metrics`" + `.
			[operator.md](../operator.md#metrics) describes who can read them.`, registerOperator},
	} {
		fmt.Fprintf(&out, "\n## %s\n\n%s\n", program.title, wrap(program.intro))
		if err := writeMetrics(&out, program.register); err != nil {
			return "", err
		}
	}
	return out.String(), nil
}

// writeMetrics writes a table of the metrics that the function registers.
func writeMetrics(out *strings.Builder, register func(prometheus.Registerer) error) error {
	registry := prometheus.NewRegistry()
	if err := register(registry); err != nil {
		return err
	}
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	descriptions := make(chan *prometheus.Desc, 1000)
	registry.Describe(descriptions)
	if len(descriptions) != len(families) {
		return fmt.Errorf("%d metrics are described, but only %d have a value", len(descriptions), len(families))
	}
	out.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, family := range families {
		var labels []string
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+label.GetName()+"`")
		}
		fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", family.GetName(), strings.ToLower(family.GetType().String()),
			strings.Join(labels, ", "), cell(family.GetHelp()))
	}
	return nil
}

// registerDataplane registers the metrics of a dataplane with a status that sets every metric.
func registerDataplane(registry prometheus.Registerer) error {
	status := report.Status{
		Conntrack: &report.Conntrack{},
		Held:      report.Held{Limit: 1},
		Flooding:  []report.FloodingPod{{Direction: "egress"}},
		Verdicts: report.Stats{
			Sides:      []report.SideCount{{Direction: "ingress", Family: "IPv4", Protocol: "TCP", Verdict: "Allow"}},
			Unreadable: map[string]uint64{"truncated": 0},
			FloodQueue: &report.FloodQueue{},
		},
	}
	return registry.Register(dataplane.New(func() (report.Status, error) { return status, nil }))
}

// registerOperator registers the metrics of an operator with an Enforcer.
func registerOperator(registry prometheus.Registerer) error {
	collector := operator.New(emptyCluster{})
	collector.Set(&operator.State{Status: v1alpha1.EnforcerStatus{}, Owned: true})
	return registry.Register(collector)
}

// emptyCluster is a reader of a cluster without objects.
type emptyCluster struct{ client.Reader }

func (emptyCluster) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }
