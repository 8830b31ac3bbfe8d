// Package nodecheck checks whether a node meets the requirements of the dataplane, with the
// settings that a dataplane would use. It leaves no change on the node.
package nodecheck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/status"
)

// Settings are the settings of a dataplane that affect the checks.
type Settings struct {
	Marks ruleset.Marks
	// Queues contains the two queue ranges of the node.
	Queues     [2]ruleset.Queues
	StateDir   string
	CNIResults string
}

// node contains the settings and directories that all checks use.
type node struct {
	Settings
	// runs reports whether a dataplane is running with this state directory.
	runs bool
	// proc and sys are the directories /proc and /sys, and can be other directories in tests.
	proc, sys string
}

// Run checks the network namespace of the calling thread. Some checks need CAP_NET_ADMIN, and
// fail without it.
func Run(ctx context.Context, settings Settings) []report.Check {
	_, err := status.Read(ctx, settings.StateDir)
	n := &node{Settings: settings, runs: err == nil, proc: "/proc", sys: "/sys"}
	out := []report.Check{n.kernel(), n.features(), n.queues(), n.connections(ctx), n.bridges(), n.vlans(), n.routing()}
	out = append(out, n.otherRules()...)
	return append(out, n.cniResults(ctx))
}

// check returns a report.Check. The result of the check is CheckOK if `fix` is empty, and
// `otherwise` if not.
func check(name string, otherwise report.CheckResult, seen, fix string) report.Check {
	if fix == "" {
		otherwise = report.CheckOK
	}
	return report.Check{Name: name, Result: otherwise, Seen: seen, Fix: fix}
}

func (n *node) kernel() report.Check {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return report.Check{Name: "kernel", Result: report.CheckSkipped, Seen: err.Error()}
	}
	return check("kernel", report.CheckOK, "Linux "+unix.ByteSliceToString(u.Release[:])+" "+unix.ByteSliceToString(u.Machine[:]), "")
}

// The check `features` tests whether the kernel has the features that the dataplane needs at
// startup.
func (n *node) features() report.Check {
	const name = "kernel features"
	kernel, err := ruleset.FindKernel()
	switch {
	case errors.Is(err, unix.EPERM):
		return check(name, report.CheckFailed, err.Error(), "run the check as root in the network namespace of the node")
	case err != nil:
		return check(name, report.CheckFailed, err.Error(), "use a kernel with these features, or load the modules that contain them")
	}
	return check(name, report.CheckOK, "nftables, conntrack marks, address types, reject, "+string(kernel.Queueing), "")
}

// The check `queues` tests whether the queue numbers are free.
func (n *node) queues() report.Check {
	const name = "queue numbers"
	const path = "thread-self/net/netfilter/nfnetlink_queue"
	text, err := os.ReadFile(n.proc + "/" + path)
	ranges := n.Queues
	first, last := ranges[0].Base, ranges[1].Flood
	numbers := fmt.Sprintf("%d to %d", first, last)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return check(name, report.CheckFailed, "/proc/net/netfilter/nfnetlink_queue does not exist",
			"load the module nfnetlink_queue, or use a kernel with CONFIG_NETFILTER_NETLINK_QUEUE")
	case err != nil:
		return report.Check{Name: name, Result: report.CheckSkipped, Seen: err.Error()}
	case n.runs:
		return check(name, report.CheckOK, "the dataplane of this node runs, and uses numbers from --queue-base on", "")
	}
	var used []string
	for line := range strings.Lines(string(text)) {
		var number uint64
		if _, err := fmt.Sscan(line, &number); err == nil && (ranges[0].Contain(number) || ranges[1].Contain(number)) {
			used = append(used, fmt.Sprint(number))
		}
	}
	if len(used) > 0 {
		return check(name, report.CheckFailed, "another program uses "+strings.Join(used, ", ")+" of "+numbers,
			"choose other numbers with spec.queues.base of the Enforcer")
	}
	return check(name, report.CheckOK, numbers+" are free", "")
}

// The check `connections` tests whether the dataplane can read connection tracking, and whether
// another program uses its mark bits.
func (n *node) connections(ctx context.Context) report.Check {
	const name = "connection marks"
	c, err := conntrack.Open(n.Marks)
	if err != nil {
		return check(name, report.CheckFailed, err.Error(), "use a kernel with CONFIG_NF_CT_NETLINK")
	}
	defer c.Close()
	all, marked, err := c.Marked(ctx)
	exists, existsErr := ruleset.Exists()
	seen := fmt.Sprintf("%d connections, %d of them with mark bits %#x", all, marked, n.Marks.Mask)
	switch {
	case err != nil:
		return check(name, report.CheckFailed, err.Error(), "run the check as root, on a kernel with CONFIG_NF_CT_NETLINK")
	case marked > 0 && !exists && existsErr == nil:
		return check(name, report.CheckWarning, seen+", but Sluice is not installed on this node",
			"another program uses these bits: choose other bits with spec.markMask of the Enforcer")
	}
	return check(name, report.CheckOK, seen, "")
}
