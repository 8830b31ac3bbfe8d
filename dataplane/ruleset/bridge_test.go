package ruleset_test

import (
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/golden"
	"github.com/sluicenet/sluice/test/lab"
)

// setPorts calls SetBridges with the given port indexes. The addresses 10.0.0.1 and fd00::1
// belong to a pod on the port with index 1.
func setPorts(t *testing.T, table *ruleset.Table, ports ...uint32) {
	t.Helper()
	owners := []ruleset.Owner{
		{Port: 1, Address: netip.MustParseAddr("10.0.0.1")},
		{Port: 1, Address: netip.MustParseAddr("fd00::1")},
	}
	if err := table.SetBridges(ruleset.Bridges{Ports: ports, Owners: owners}); err != nil {
		t.Fatal(err)
	}
}

// listBridge returns the bridge table as nft prints it. If the table does not exist, it returns
// "".
func listBridge(t *testing.T, h *lab.Host) string {
	t.Helper()
	if !strings.Contains(nft(t, h, "", "list", "tables"), "table bridge sluice") {
		return ""
	}
	return nft(t, h, "", "list", "table", "bridge", "sluice")
}

func TestBridgeTable(t *testing.T) {
	h := host(t)
	table := install(t, h, config(t, ruleset.Drop))
	if got := listBridge(t, h); got != "" {
		t.Errorf("without ports: %s", got)
	}
	setPorts(t, table, 1)
	fresh := listBridge(t, h)
	golden.Compare(t, filepath.Join("testdata", "Bridge.nft"), fresh)
	for name, damage := range map[string]string{
		"no damage":            "",
		"the set is empty":     "flush set bridge sluice ports",
		"a foreign element":    "add element bridge sluice ports { 7 }",
		"another owner":        "flush set bridge sluice owners6",
		"no rules":             "flush chain bridge sluice prerouting",
		"a foreign rule":       "insert rule bridge sluice prerouting accept",
		"a foreign chain":      "add chain bridge sluice other { type filter hook input priority 0; }",
		"another chain":        "delete table bridge sluice; table bridge sluice { chain prerouting { type filter hook input priority 0; }; }",
		"a foreign set":        "add set bridge sluice other { type mark; }",
		"a foreign counter":    "add counter bridge sluice c",
		"the table is gone":    "delete table bridge sluice",
		"both tables are gone": "flush ruleset",
	} {
		nft(t, h, damage, "-f", "-")
		if err := table.Install(addresses); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(fresh, listBridge(t, h)); diff != "" {
			t.Errorf("%s: after the repair (-fresh +got):\n%s", name, diff)
		}
	}
	// A repair removes the base chain only if the table contains foreign objects, because the
	// kernel drops the packets in all queues when a base chain is removed.
	chain := regexp.MustCompile(`chain prerouting \{ # handle \d+`)
	before := chain.FindString(nft(t, h, "", "-a", "list", "table", "bridge", "sluice"))
	if err := table.Install(addresses); err != nil {
		t.Fatal(err)
	}
	if after := chain.FindString(nft(t, h, "", "-a", "list", "table", "bridge", "sluice")); after != before || before == "" {
		t.Errorf("the repair replaced the chain: %q, before %q", after, before)
	}
	// After another program has removed the table, the dataplane may change the ports before it
	// receives the event about the removal.
	setPorts(t, table, 1, 2)
	nft(t, h, "delete table bridge sluice", "-f", "-")
	setPorts(t, table, 1)
	if diff := cmp.Diff(fresh, listBridge(t, h)); diff != "" {
		t.Errorf("after a change of the ports (-fresh +got):\n%s", diff)
	}
	if err := table.Unbridge(); err != nil {
		t.Fatal(err)
	}
	if err := table.Install(addresses); err != nil {
		t.Fatal(err)
	}
	if got := listBridge(t, h); got != "" {
		t.Errorf("after Unbridge: %s", got)
	}
	if err := table.Unbridge(); err != nil {
		t.Errorf("without a table: %v", err)
	}
	setPorts(t, table, 1)
	do(t, h, ruleset.Uninstall)
	if got := nft(t, h, "", "list", "ruleset"); got != "" {
		t.Errorf("after Uninstall: %s", got)
	}
}
