package nodecheck

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/sandbox"
)

// bridgeSettings are the settings of br_netfilter that the dataplane needs on nodes with pods on
// a bridge.
var bridgeSettings = []string{"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"}

// setting returns the value of a sysctl, or "" if the sysctl does not exist.
func (n *node) setting(name string) string {
	text, err := os.ReadFile(filepath.Join(n.proc, "sys", strings.ReplaceAll(name, ".", "/")))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// names returns the base names of the files that match a pattern below /sys.
func (n *node) bridgeNames() (names []string) {
	found, err := filepath.Glob(filepath.Join(n.sys, "class/net/*/bridge"))
	if err != nil {
		return nil
	}
	for _, path := range found {
		names = append(names, filepath.Base(filepath.Dir(path)))
	}
	return names
}

// The check `bridges` tests whether packets between the ports of a bridge traverse the rules.
func (n *node) bridges() report.Check {
	const name = "br_netfilter"
	var values, off []string
	for _, s := range bridgeSettings {
		value := n.setting(s)
		if value != "1" {
			off = append(off, s)
		}
		if value == "" {
			value = "missing"
		}
		values = append(values, s+" = "+value)
	}
	seen := strings.Join(values, ", ")
	found := n.bridgeNames()
	switch {
	case len(off) == 0:
		return check(name, report.CheckOK, seen, "")
	case len(found) == 0:
		return check(name, report.CheckOK, seen+"; the node has no bridge", "")
	}
	return check(name, report.CheckWarning, seen+"; bridges: "+strings.Join(found, ", "),
		"if pods are on one of the bridges: modprobe br_netfilter, and set to 1: "+strings.Join(off, ", "))
}

// The check `vlans` tests whether the dataplane can drop frames with a VLAN tag on bridges.
func (n *node) vlans() report.Check {
	const name = "bridge tables"
	err := ruleset.FindBridgeTables()
	found := n.bridgeNames()
	switch {
	case err == nil:
		return check(name, report.CheckOK, "nftables has tables of family bridge", "")
	case len(found) == 0:
		return check(name, report.CheckOK, "no nftables tables of family bridge; the node has no bridge", "")
	}
	return check(name, report.CheckWarning, "no nftables tables of family bridge: "+err.Error()+"; bridges: "+strings.Join(found, ", "),
		"if pods are on one of the bridges, use a kernel with CONFIG_NF_TABLES_BRIDGE")
}

// The check `routing` tests settings of the IP stack that weaken policies or that help to explain
// lost packets.
func (n *node) routing() report.Check {
	const name = "routing settings"
	filter := n.setting("net.ipv4.conf.all.rp_filter")
	routed := n.setting("net.ipv4.conf.all.accept_source_route")
	seen := fmt.Sprintf("net.ipv4.conf.all.rp_filter = %s, net.ipv4.conf.all.accept_source_route = %s", filter, routed)
	fix := ""
	if routed == "1" {
		fix = "set net.ipv4.conf.all.accept_source_route to 0: the final destination of source-routed packets is not evaluated"
	}
	return check(name, report.CheckWarning, seen, fix)
}

// The check `cniResults` tests whether the dataplane can read the addresses of new pods before the
// pods start.
func (n *node) cniResults(ctx context.Context) report.Check {
	const name = "CNI results"
	if n.CNIResults == "" {
		return check(name, report.CheckOK, "disabled: new pods become known when their addresses are in the API server", "")
	}
	const fix = "find the directory in which the container runtime stores CNI results, and set spec.cniResults of the Enforcer"
	found, err := readResults(ctx, n.CNIResults)
	switch {
	case err != nil:
		return check(name, report.CheckWarning, err.Error(), fix)
	case !found.Available:
		return check(name, report.CheckWarning, found.Reason, fix)
	case found.Skipped > 0:
		return check(name, report.CheckWarning, fmt.Sprintf("%s: %d results cannot be used: %s", n.CNIResults, found.Skipped, found.SkippedReason),
			"remove the files that the CNI library did not write")
	case len(found.Sandboxes) == 0:
		return check(name, report.CheckWarning, n.CNIResults+" contains no pod", "if pods run on this node, "+fix)
	}
	return check(name, report.CheckOK, fmt.Sprintf("%s: results of %d pods", n.CNIResults, len(found.Sandboxes)), "")
}

// readResults reads the CNI results once.
func readResults(ctx context.Context, dir string) (found report.Sandboxes, err error) {
	watcher, err := sandbox.Open(dir)
	if err != nil {
		return found, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watcher.Run(ctx, func(all report.Sandboxes) error {
		found = all
		stop()
		return nil
	})
	return found, nil
}
