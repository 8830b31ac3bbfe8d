package ui_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/ui/source"
)

// withFlows is a source of manifests whose flows come from a test.
type withFlows struct {
	*source.Files
	events chan report.Event
}

func (f withFlows) Flows(ctx context.Context, handle func(node string, e *report.Event), note func(source.Note)) {
	note(source.Note{Node: "node-1", Listening: true})
	for {
		select {
		case e := <-f.events:
			handle("node-1", &e)
		case <-ctx.Done():
			return
		}
	}
}

// denial returns the event of a denied flow from web to db.
func denial(t *testing.T, s source.Source) report.Event {
	t.Helper()
	set, err := s.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return report.Event{
		Time: time.Now(), Verdict: report.Deny, Protocol: "TCP", SrcPort: 40000, DstPort: 5432,
		Src: addressOf(t, set, "web"), Dst: addressOf(t, set, "db"),
		Ingress: &report.Side{Verdict: "Deny", Reason: "NoRuleMatched", IsolatedBy: []string{"shop/db"}},
	}
}

func addressOf(t *testing.T, set *inventory.Set, workload string) netip.Addr {
	t.Helper()
	for i := range set.Pods {
		if p := &set.Pods[i]; p.Workload == workload {
			return p.Addresses[0]
		}
	}
	t.Fatalf("no pod of %s", workload)
	return netip.Addr{}
}

// TestFlows shows a denial, and the reason for it.
func TestFlows(t *testing.T) {
	s := withFlows{files(t, shop), make(chan report.Event)}
	b := open(t, s)
	b.Visit("#/flows", ".flows")
	b.See(".flows", "No flow yet")
	// The page records the time at which the denial appears. The clocks of the test and of the page
	// are the same.
	b.Script(`window.seen = 0, new MutationObserver(() => {
		if (!window.seen && document.querySelector('tr[data-verdict=Deny]')) window.seen = Date.now();
	}).observe(document.body, {childList: true, subtree: true})`)
	sent := time.Now()
	s.events <- denial(t, s)
	b.See("tr.denied", "shop/db")
	b.Wait("the denial was seen", "window.seen > 0")
	t.Logf("a denial was visible after %s ms", b.Script(fmt.Sprintf("window.seen - %d", sent.UnixMilli())))
	midStream := denial(t, s)
	midStream.Verdict = report.MidStream
	s.events <- midStream
	b.See("tr[data-verdict=MidStream] .verdict.neutral", "mid-stream")
	b.Wait("only the denial is marked", "document.querySelectorAll('tr.denied').length === 1")
	b.Shoot("flows")
	b.Do(chromedp.Click(chromedp.CSS("tr.denied button")), chromedp.WaitVisible(chromedp.CSS("#answer .answer")))
	b.See("#answer", "isolated for ingress by shop/db")
	b.Shoot("flows-why")

	b.Visit("#/overview", ".chart")
	b.See(".card", "Flows that nodes deny now")
	b.Wait("mid-stream packets are not counted as denied", "[...document.querySelectorAll('.chart title')].some(e => e.textContent === '1 denied, 0 allowed')")
	b.Shoot("overview-flows")
	b.Visit("#/map", ".graph canvas")
	b.Shoot("map-flows")
}

// TestLargeCluster measures the first view of a cluster with 500 workloads and 200 policies.
func TestLargeCluster(t *testing.T) {
	var text strings.Builder
	objects := cluster.NewRealistic(3, cluster.Size{Pods: 500, Policies: 200, Nodes: 6}).Objects()
	if err := objects.WriteManifests(&text); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	b := open(t, files(t, path))
	t.Logf("the first view took %s ms from the navigation", b.Script("Math.round(performance.getEntriesByName('first-view')[0].startTime)"))
	b.Shoot("large-overview")
	b.Visit("#/map", ".graph canvas")
	b.Shoot("large-map")
	b.Visit("#/map?as=matrix", ".matrix canvas")
	b.Shoot("large-matrix")
}
