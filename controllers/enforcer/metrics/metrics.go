// Package metrics serves the state of the Enforcer and of the policies as metrics of the
// operator. The number of time series does not depend on the number of nodes or policies.
package metrics

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// Descriptions of the metrics.
var (
	condition  = describe("enforcer_condition", "1 if the condition of this type of the Enforcer has this status (True, False or Unknown), otherwise 0.", "type", "status")
	nodes      = describe("enforcer_nodes", "Number of selected nodes by state: all selected nodes (desired), nodes that enforce policies (ready), nodes that run the current spec (up_to_date), nodes that do not enforce policies because the Node is not Ready (unreachable), and Ready nodes without a pod of Sluice (without_pod).", "state")
	blocked    = describe("enforcer_rollout_blocked_seconds", "How long a node has blocked a rollout, 0 if no node blocks a rollout.")
	uninstall  = describe("enforcer_uninstall_seconds", "How long the operator has been uninstalling Sluice since the Enforcer was deleted, 0 if the Enforcer is not being deleted.")
	contested  = describe("enforcer_contested_objects", "Number of objects of the Enforcer that another client changes repeatedly.")
	owned      = describe("enforcer_owned", "1 if the Enforcer belongs to the installation of this operator, 0 if it belongs to another installation.")
	policies   = describe("policies", "Number of NetworkPolicies by the status of a condition of their PolicyStatus: Enforced, Understood or LintFindings.", "condition", "status")
	clustered  = describe("cluster_policies", "Number of ClusterNetworkPolicies by the status of a condition of their ClusterPolicyStatus: Enforced, Understood or LintFindings.", "condition", "status")
	statuses   = []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown}
	conditions = []v1alpha1.ConditionType{v1alpha1.ConditionAvailable, v1alpha1.ConditionProgressing, v1alpha1.ConditionDegraded}
	ofPolicies = []v1alpha1.ConditionType{v1alpha1.ConditionEnforced, v1alpha1.ConditionUnderstood, v1alpha1.ConditionLintFindings}
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("sluice", "", name), help, labels, nil)
}

// State is the last observation of the reconciler of the Enforcer.
type State struct {
	// Status is the status of the Enforcer.
	Status v1alpha1.EnforcerStatus
	// Owned reports whether the Enforcer belongs to the installation of the operator.
	Owned bool
	// WithoutPod is the number of selected nodes that are Ready and have no enforcing pod.
	WithoutPod int
	// Contested is the number of objects that another client changes repeatedly.
	Contested int
	// BlockedSince is the time since which a node has blocked a rollout. It is zero if no node
	// blocks a rollout.
	BlockedSince time.Time
	// Uninstalling reports whether the Enforcer is being deleted.
	Uninstalling bool
}

// Collector collects the metrics. It serves metrics of the Enforcer only while an Enforcer
// exists.
type Collector struct {
	reader client.Reader
	now    func() time.Time

	mu    sync.Mutex // guards the fields below
	state *State
	// uninstalling is the time of the first State in which the field Uninstalling is true. It is
	// zero if there is no such State.
	uninstalling time.Time
}

// New returns a collector that reads PolicyStatuses and ClusterPolicyStatuses with a reader.
func New(reader client.Reader) *Collector { return &Collector{reader: reader, now: time.Now} }

// Set stores a new state. The state is nil if there is no Enforcer.
func (c *Collector) Set(state *State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
	switch {
	case state == nil || !state.Uninstalling:
		c.uninstalling = time.Time{}
	case c.uninstalling.IsZero():
		c.uninstalling = c.now()
	}
}

// Start registers the collector until the context ends. Only one collector can be registered at
// a time, so only the active operator may call Start.
func (c *Collector) Start(ctx context.Context, registry prometheus.Registerer) error {
	if err := registry.Register(c); err != nil {
		return fmt.Errorf("registering the metrics of the Enforcer: %w", err)
	}
	<-ctx.Done()
	registry.Unregister(c)
	return nil
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{condition, nodes, blocked, uninstall, contested, owned, policies, clustered} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.collectEnforcer(out)
	c.collectPolicies(out)
}

func (c *Collector) collectEnforcer(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(owned, number(c.state.Owned))
	if !c.state.Owned {
		return
	}
	for _, kind := range conditions {
		now := statusOf(c.state.Status.Conditions, kind)
		for _, status := range statuses {
			gauge(condition, number(now == status), string(kind), string(status))
		}
	}
	counts := c.state.Status.Nodes
	gauge(nodes, float64(counts.Desired), "desired")
	gauge(nodes, float64(counts.Ready), "ready")
	gauge(nodes, float64(counts.UpToDate), "up_to_date")
	gauge(nodes, float64(counts.Unreachable), "unreachable")
	gauge(nodes, float64(c.state.WithoutPod), "without_pod")
	gauge(contested, float64(c.state.Contested))
	gauge(blocked, c.since(c.state.BlockedSince))
	gauge(uninstall, c.since(c.uninstalling))
}

// since returns the seconds since a time, or 0 for the zero time.
func (c *Collector) since(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return c.now().Sub(t).Seconds()
}

// collectPolicies counts the PolicyStatuses and the ClusterPolicyStatuses in the cache. It copies
// no object.
func (c *Collector) collectPolicies(out chan<- prometheus.Metric) {
	var namespaced v1alpha1.PolicyStatusList
	err := c.reader.List(context.Background(), &namespaced, client.UnsafeDisableDeepCopy)
	sendCounts(out, policies, len(namespaced.Items), func(i int) []metav1.Condition { return namespaced.Items[i].Status.Conditions }, err)
	var all v1alpha1.ClusterPolicyStatusList
	err = c.reader.List(context.Background(), &all, client.UnsafeDisableDeepCopy)
	sendCounts(out, clustered, len(all.Items), func(i int) []metav1.Condition { return all.Items[i].Status.Conditions }, err)
}

// sendCounts counts the policies by the status of each condition, and sends the counts. The
// function `conditionsOf` returns the conditions of the policy with the given index. If `err` is
// not nil, sendCounts sends only this error.
func sendCounts(out chan<- prometheus.Metric, d *prometheus.Desc, number int, conditionsOf func(int) []metav1.Condition, err error) {
	if err != nil {
		out <- prometheus.NewInvalidMetric(d, err)
		return
	}
	type key struct {
		kind   v1alpha1.ConditionType
		status metav1.ConditionStatus
	}
	counts := map[key]int{}
	for i := range number {
		for _, kind := range ofPolicies {
			counts[key{kind, statusOf(conditionsOf(i), kind)}]++
		}
	}
	for _, kind := range ofPolicies {
		for _, status := range statuses {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(counts[key{kind, status}]), string(kind), string(status))
		}
	}
}

// statusOf returns the status of a condition. A missing condition is Unknown.
func statusOf(all []metav1.Condition, kind v1alpha1.ConditionType) metav1.ConditionStatus {
	for i := range all {
		if all[i].Type == string(kind) {
			return all[i].Status
		}
	}
	return metav1.ConditionUnknown
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
