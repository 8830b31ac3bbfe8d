package ruleset_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/test/golden"
	"github.com/sluicenet/sluice/test/lab"
)

func setPorts(t *testing.T, table *ruleset.Table, ports ...uint32) {
	t.Helper()
	if err := table.SetPorts(ports); err != nil {
		t.Fatal(err)
	}
}

// listBridge returns the bridge table as nft prints it, or "" if it does not exist.
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
		"nothing":              "",
		"the set is empty":     "flush set bridge sluice ports",
		"a foreign element":    "add element bridge sluice ports { 7 }",
		"no rules":             "flush chain bridge sluice forward",
		"a foreign rule":       "insert rule bridge sluice forward accept",
		"a foreign chain":      "add chain bridge sluice other { type filter hook input priority 0; }",
		"another chain":        "delete table bridge sluice; table bridge sluice { chain forward { type filter hook input priority 0; }; }",
		"a foreign set":        "add set bridge sluice other { type mark; }",
		"a foreign counter":    "add counter bridge sluice c",
		"the table is gone":    "delete table bridge sluice",
		"both tables are gone": "flush ruleset",
	} {
		nft(t, h, damage, "-f", "-")
		if err := table.Install(isolated); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(fresh, listBridge(t, h)); diff != "" {
			t.Errorf("%s: after the repair (-fresh +got):\n%s", name, diff)
		}
	}
	// The dataplane may change the ports before it learns that another program removed
	// the table.
	setPorts(t, table, 1, 2)
	nft(t, h, "delete table bridge sluice", "-f", "-")
	setPorts(t, table, 1)
	if diff := cmp.Diff(fresh, listBridge(t, h)); diff != "" {
		t.Errorf("after a change of the ports (-fresh +got):\n%s", diff)
	}
	if err := table.Unbridge(); err != nil {
		t.Fatal(err)
	}
	if err := table.Install(isolated); err != nil {
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
