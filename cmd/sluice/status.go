package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
)

// defaultStateDir is where agent and dataplane of a node meet.
const defaultStateDir = "/run/sluice"

// statusCommand shows how this node fares, or a cluster.
func statusCommand(where place) *cobra.Command {
	var out output
	var cluster clusterPlace
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is enforced, and how it fares",
		Long:  where.statusText(),
		Example: `  sluice status
  sluice status --state-dir /run/sluice -o json | jq .generation`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asks, err := cluster.asksCluster(where, false)
			if err != nil {
				return err
			}
			if asks {
				return statusOfCluster(cmd, &cluster, &out)
			}
			s, err := status.Read(cmd.Context(), cluster.nodeDir())
			if err != nil {
				return notRunning(err, cluster.nodeDir())
			}
			if out.json() {
				return writeJSON(cmd.OutOrStdout(), s)
			}
			return writeStatus(cmd.OutOrStdout(), &s, time.Now())
		},
	}
	if where == liveCluster {
		cmd.Example = `  sluice status
  sluice status --context production -o json | jq .policies.problems`
	}
	cluster.addFlags(cmd, where)
	out.addFlag(cmd)
	return cmd
}

// statusText says what status tells.
func (p place) statusText() string {
	if p == liveCluster {
		return `Sums up what operator and agents report: whether every node enforces, which nodes
do not or are behind, and which policies are not in force or not understood.
Exit code 1 means that something is not enforced as it should be.

With --state-dir it asks the dataplane of this node.`
	}
	return `Asks the dataplane that runs with the state directory: the generation in force,
whether a published tree was refused, verdicts, drops, and what became of open
connections when the policies changed last. Exit code 1 means that none answers.

With --kubeconfig or --context it sums up what a cluster's nodes report.`
}

// notRunning adds what to look at where no dataplane answers.
func notRunning(err error, stateDir string) error {
	if !errors.Is(err, status.ErrNotRunning) {
		return err
	}
	return fmt.Errorf(`%w
  Is "sluice dataplane --state-dir %s" running on this node, as a service or a pod?
  Does it use another --state-dir? May this user open the socket (root may)?
  Rules of a dataplane that has ended stay in force: nft list table inet sluice`, err, stateDir)
}

// writeStatus writes a status for people. Times are told from now.
func writeStatus(out io.Writer, s *report.Status, now time.Time) error {
	w := bufio.NewWriter(out)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-17s %s\n", name, fmt.Sprintf(format, args...))
	}
	switch {
	case s.Generation == 0 && s.Seen == 0:
		fmt.Fprintln(w, "Not enforcing yet: waiting for a first tree. Until then it touches no packet.")
	case s.Generation < s.Seen:
		fmt.Fprintf(w, "Generation %d judges new connections; open ones are still being judged again.\n", s.Seen)
	case s.Published > s.Generation && s.Rejected == nil:
		fmt.Fprintf(w, "Enforcing generation %d; generation %d is published and not taken up yet.\n", s.Generation, s.Published)
	default:
		fmt.Fprintf(w, "Enforcing generation %d, for new connections and open ones.\n", s.Generation)
	}
	if r := s.Rejected; r != nil {
		fmt.Fprintf(w, "REFUSED the tree published as generation %d, %s ago:\n  %s\n", s.Published, ago(now, r.At), r.Reason)
	}
	fmt.Fprintln(w)
	line("node", "%s", orNone(s.Node))
	line("up", "%s", ago(now, s.Started))
	line("generation", "published %d, acknowledged %d", s.Published, s.Generation)
	line("pods", "%d, of them isolated %d", s.Pods, s.IsolatedPods)
	line("queueing", "%s, %s", orNone(s.Queueing), queueNumbers(s.QueueBase, s.Queues))
	line("failure policy", "%s", s.FailurePolicy)
	line("deny", "%s", s.Deny)
	line("mark mask", "%#x", s.MarkMask)
	line("rules repaired", "%s", times(s.Repairs))
	line("open connections", "%s", walkText(&s.Reevaluated, now))
	v := &s.Verdicts
	fmt.Fprintln(w)
	line("packets judged", "%d: accepted %d, refused %d, mid-stream %d", v.Packets, v.Accepted, v.Denied, v.MidStream)
	line("unreadable", "%s", faultsText(v.Unreadable))
	if s.Unevaluated > 0 {
		line("unjudged", "%d passed without a verdict, since the rules were made (failure policy Open)", s.Unevaluated)
	}
	line("queues", "waiting %d, dropped for a full queue %d, for a full socket %d", v.Waiting, v.QueueDropped, v.SocketDropped)
	writeSides(w, v.Sides)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	return nil
}

func orNone(text string) string {
	if text == "" {
		return "none yet"
	}
	return text
}

func queueNumbers(base, queues uint16) string {
	if queues == 1 {
		return fmt.Sprintf("queue %d", base)
	}
	return fmt.Sprintf("queues %d to %d", base, int(base)+int(queues)-1)
}

func times(n uint64) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	default:
		return fmt.Sprintf("%d times", n)
	}
}

// ago gives a time span as precisely as anybody wants it.
func ago(now, then time.Time) string {
	d := now.Sub(then)
	const day = 24 * time.Hour
	switch {
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 2*day:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	default:
		return fmt.Sprintf("%d days", int(d/day))
	}
}

func walkText(j *report.Reevaluated, now time.Time) string {
	l := j.Last
	if l == nil {
		return "not judged yet"
	}
	return fmt.Sprintf("judged again %s ago in %s: %d looked at; newly accepted %d, refused %d, nobody's now %d",
		ago(now, l.At), l.Took.Round(time.Microsecond), l.Connections, l.Accepted, l.Denied, l.Cleared)
}

// faultsText lists what could not be read.
func faultsText(faults map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, faults[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// writeSides writes a table of the verdicts that were given, allowed and denied
// beside each other. It rests on the order of the counts: Deny before Allow.
func writeSides(w io.Writer, sides []report.SideCount) {
	head := false
	for i := 0; i+1 < len(sides); i += 2 {
		deny, allow := sides[i], sides[i+1]
		if deny.Count+allow.Count == 0 {
			continue
		}
		if !head {
			fmt.Fprintf(w, "\n%-10s %-7s %-9s %12s %12s\n", "verdicts", "family", "protocol", "Allow", "Deny")
			head = true
		}
		fmt.Fprintf(w, "%-10s %-7s %-9s %12d %12d\n", deny.Direction, deny.Family, deny.Protocol, allow.Count, deny.Count)
	}
}
