package policy_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/reference"
)

// history is a cluster and what happens to it. It is drawn whole before any of
// it is judged, so that a failure prints as the shortest story that shows it.
type history struct {
	start    cluster.Objects
	chapters []chapter
}

// chapter is what happens between two publications, and the flows after it.
type chapter struct {
	changes []cluster.Change
	flows   []flow.Flow
}

const (
	flowsPerFamily = 16
	maxChapters    = 20
)

func drawHistory(t *rapid.T) history {
	choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "") }
	random := cluster.NewRandom(choose)
	h := history{start: random.Objects}
	for i := range 1 + choose(maxChapters) {
		var c chapter
		if i > 0 {
			for range 1 + choose(2) {
				c.changes = append(c.changes, random.Step()...)
			}
		}
		for range flowsPerFamily {
			c.flows = append(c.flows, random.Flow(4), random.Flow(6))
		}
		h.chapters = append(h.chapters, c)
	}
	return h
}

// GoString is what rapid prints of a failure.
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

// TestRandomClusters compares every verdict with the reference's, and the
// trees that lived through all changes with trees compiled from nothing. For a
// longer soak: go test ./policy -run TestRandomClusters -rapid.checks=10000.
func TestRandomClusters(t *testing.T) {
	dirs := newStateDirs(t)
	histories := rapid.Custom(drawHistory)
	// Several independent sequences: rapid's default is 100 histories each.
	for sequence := range 4 {
		flows := 0
		t.Run(strconv.Itoa(sequence), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				h := histories.Draw(t, "history")
				lived := newClusterUnderTest(t, dirs, cluster.NodeNames(), h.start)
				defer lived.close()
				for i, c := range h.chapters {
					for _, change := range c.changes {
						lived.apply(change)
					}
					lived.publish()
					compare(t, i, dirs, lived, c.flows)
					flows += len(c.flows)
				}
			})
			t.Logf("%d flows of each family agree", flows/2)
		})
	}
}

func compare(t *rapid.T, chapter int, dirs *stateDirs, lived *clusterUnderTest, flows []flow.Flow) {
	fresh := newClusterUnderTest(t, dirs, cluster.NodeNames(), lived.objects)
	defer fresh.close()
	fresh.publish()
	lived.checkPods()
	for _, f := range flows {
		egress, ingress := lived.judge(f)
		freshEgress, freshIngress := fresh.judge(f)
		if egress.String() != freshEgress.String() || ingress.String() != freshIngress.String() {
			t.Fatalf("chapter %d: %s: step by step: %s, %s; from nothing: %s, %s", chapter, f, egress, ingress, freshEgress, freshIngress)
		}
		lived.checkReference(f, egress, ingress)
	}
}

// TestRealisticClusters compares where many pods share classes and programs,
// as small clusters cannot.
func TestRealisticClusters(t *testing.T) {
	r := cluster.NewRealistic(1, cluster.Size{Pods: 600, Policies: 200, DualStack: true})
	w := newClusterUnderTest(t, newStateDirs(t), []string{cluster.LocalNode}, r.Objects())
	defer w.close()
	w.publish()
	n := w.nodes[0]
	for _, f := range r.Flows(1, 500, 0.5) {
		egress, ingress := n.lookup(f)
		want := reference.Judge(w.objects, f)
		if egress.Reason != rule.Elsewhere {
			w.checkSide(f, rule.Egress, egress, want.Egress)
		}
		if ingress.Reason != rule.Elsewhere {
			w.checkSide(f, rule.Ingress, ingress, want.Ingress)
		}
	}
}
