package policy_test

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/reference"
	"github.com/sluicenet/sluice/test/stage"
)

// history contains the initial objects of a cluster, followed by changes. The test draws the
// whole history before it evaluates the first flow, so that rapid can find the shortest
// history for which the test fails.
type history struct {
	start    cluster.Objects
	chapters []chapter
}

// chapter contains changes, and the flows to evaluate after these changes are published.
type chapter struct {
	changes []cluster.Change
	flows   []flow.Flow
}

const maxChapters = 20

func drawHistory(t *rapid.T) history {
	return newHistory(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") }, maxChapters)
}

func newHistory(choose cluster.Choose, maxChapters int) history {
	random := cluster.NewTiered(choose)
	h := history{start: random.Objects}
	for i := range 1 + choose(maxChapters) {
		var c chapter
		if i > 0 {
			for range 1 + choose(2) {
				c.changes = append(c.changes, random.Step()...)
			}
		}
		for range *flowsPerFamily {
			c.flows = append(c.flows, random.Flow(4), random.Flow(6))
		}
		h.chapters = append(h.chapters, c)
	}
	return h
}

// GoString returns the text that rapid prints if the test fails for the history.
func (h history) GoString() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\n%s", &h.start)
	for i, c := range h.chapters {
		fmt.Fprintf(&out, "-- chapter %d\n", i)
		for _, change := range c.changes {
			fmt.Fprintln(&out, change)
		}
	}
	return out.String()
}

// TestRandomClusters compares every decision with the reference implementation. It also
// compares the decisions of trees that are updated after each chapter with the decisions of
// trees that are compiled from scratch. For a longer test, run go test ./policy -run
// TestRandomClusters -rapid.checks=10000.
func TestRandomClusters(t *testing.T) {
	dirs := newStateDirs(t)
	histories := rapid.Custom(drawHistory)
	// In each of the four subtests, rapid draws 100 histories by default.
	for sequence := range 4 {
		flows := 0
		t.Run(strconv.Itoa(sequence), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				h := histories.Draw(t, "history")
				flows += h.play(t, dirs)
			})
			t.Logf("%d flows of each family agree", flows/2)
		})
	}
}

// TestSeededClusters makes the same comparison as TestRandomClusters for histories in which all choices
// have the same probability. The clusters of rapid are simpler, because rapid prefers small numbers.
// For a test with more than a million flows, run
// go test ./policy -run TestSeededClusters -seeds=600 -flows=128.
func TestSeededClusters(t *testing.T) {
	dirs := newStateDirs(t)
	flows := 0
	for seed := range uint64(*seeds) {
		h := newHistory(cluster.Seeded(seed), maxChapters)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("history: %#v", h)
				}
			})
			flows += h.play(t, dirs)
		})
	}
	t.Logf("%d flows of each family agree", flows/2)
}

var (
	seeds          = flag.Int("seeds", 40, "number of clusters in TestSeededClusters")
	flowsPerFamily = flag.Int("flows", 16, "number of flows of each address family that the random tests evaluate after each change")
)

// FuzzClusters makes the same comparison for short histories in which each byte of the input is a
// choice. After the last byte, a generator with a fixed seed makes the choices.
func FuzzClusters(f *testing.F) {
	const maxInput, chapters = 256, 3
	for seed := range uint64(4) {
		var input []byte
		choose := cluster.Seeded(seed)
		newHistory(func(n int) int {
			choice := choose(n)
			input = append(input, byte(choice))
			return choice
		}, chapters)
		f.Add(input[:maxInput])
	}
	dirs := newStateDirs(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > maxInput {
			return
		}
		rest := cluster.Seeded(0)
		h := newHistory(func(n int) int {
			if len(input) == 0 {
				return rest(n)
			}
			choice := int(input[0]) % n
			input = input[1:]
			return choice
		}, chapters)
		h.play(t, dirs)
	})
}

// play applies the changes of all chapters and compares the decisions for all flows. It returns the
// number of flows.
func (h history) play(t tester, dirs *stateDirs) (flows int) {
	updated := newClusterUnderTest(t, dirs, cluster.NodeNames(), h.start)
	defer updated.close()
	for i, c := range h.chapters {
		for _, change := range c.changes {
			updated.apply(change)
		}
		updated.publish()
		compare(t, i, dirs, updated, c.flows)
		flows += len(c.flows)
	}
	return flows
}

func compare(t tester, chapter int, dirs *stateDirs, updated *clusterUnderTest, flows []flow.Flow) {
	fresh := newClusterUnderTest(t, dirs, cluster.NodeNames(), updated.objects)
	defer fresh.close()
	fresh.publish()
	updated.checkPods()
	for _, f := range flows {
		egress, ingress := updated.evaluate(f)
		freshEgress, freshIngress := fresh.evaluate(f)
		if egress.String() != freshEgress.String() || ingress.String() != freshIngress.String() {
			t.Fatalf("chapter %d: %s: updated: %s, %s; compiled at once: %s, %s", chapter, f, egress, ingress, freshEgress, freshIngress)
		}
		updated.checkReference(f, egress, ingress)
	}
}

// administration contains policies as an administrator writes them for the namespaces of a realistic
// cluster: monitoring is always allowed, some destinations are always denied, teams decide about DNS
// and about their own pods, and everything between teams is denied by default.
const administration = `
- {admin: monitoring, priority: 10, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {matchLabels: {role: monitoring}}}], protocols: [{destinationNamedPort: metrics}]}]}
- {admin: metadata, priority: 20, subject: {namespaces: {matchExpressions: [{key: team, operator: Exists}]}}, egress: [
    {action: Pass, to: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: kube-dns}}}}]},
    {action: Deny, to: [{networks: [203.0.0.0/10, 169.254.169.254/32]}, {nodes: {}}]}]}
- {admin: production, priority: 30, subject: {namespaces: {matchLabels: {env: prod}}}, ingress: [
    {action: Deny, from: [{namespaces: {matchLabels: {env: dev}}}]},
    {action: Accept, from: [{namespaces: {matchLabels: {role: ingress}}}], protocols: [{tcp: {destinationPort: {range: {start: 8000, end: 8999}}}}]}]}
- {baseline: teams, priority: 10, subject: {namespaces: {matchExpressions: [{key: team, operator: Exists}]}}, ingress: [
    {action: Accept, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {tier: api}}}}], protocols: [{destinationNamedPort: postgres}, {destinationNamedPort: redis}]},
    {action: Deny, from: [{namespaces: {}}]}]}
`

// TestRealisticClusters compares the decisions for a larger cluster with the reference
// implementation. In this cluster, many pods share classes and programs.
func TestRealisticClusters(t *testing.T) {
	r := cluster.NewRealistic(1, cluster.Size{Pods: 600, Policies: 200, DualStack: true})
	objects := r.Objects()
	objects.ClusterNetworkPolicies = stage.Objects(t, administration).ClusterNetworkPolicies
	w := newClusterUnderTest(t, newStateDirs(t), []string{cluster.LocalNode}, objects)
	defer w.close()
	w.publish()
	n := w.nodes[0]
	tiers := map[rule.Tier]int{}
	for _, f := range r.Flows(1, 500, 0.5) {
		egress, ingress := n.evaluate(f)
		want := reference.Evaluate(w.objects, f)
		if egress.Reason != rule.Elsewhere {
			w.checkSide(f, rule.Egress, egress, want.Egress)
		}
		if ingress.Reason != rule.Elsewhere {
			w.checkSide(f, rule.Ingress, ingress, want.Ingress)
			if ingress.Reason == rule.Matched {
				tiers[ingress.Tier]++
			}
		}
	}
	if len(tiers) != rule.Tiers {
		t.Errorf("ingress rules matched in the tiers %v, want all tiers", tiers)
	}
}
