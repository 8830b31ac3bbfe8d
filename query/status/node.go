package status

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/internal/table"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/internal/phrase"
)

// Node describes the tree that the dataplane of one node enforces, and counts the
// packets that the dataplane evaluated.
type Node struct {
	query.TypeMeta
	report.Status
	// Now is the time at which WriteText computes ages, such as the age of the rejected tree.
	Now time.Time `json:"-"`
}

// NewNode returns the status of a node. The `now` parameter is the time at which
// WriteText computes ages.
func NewNode(s report.Status, now time.Time) *Node {
	return &Node{TypeMeta: query.NewTypeMeta("NodeStatus"), Status: s, Now: now}
}

// ReadNode returns the status of a node from its JSON form.
func ReadNode(content []byte, now time.Time) (*Node, error) {
	var s report.Status
	if err := json.Unmarshal(content, &s); err != nil {
		return nil, fmt.Errorf("reading the status of a node: %w", err)
	}
	return NewNode(s, now), nil
}

// WriteText writes the status as human-readable text.
func (s *Node) WriteText(out io.Writer) error { return s.write(out, false) }

// WriteWide writes the text with the counters that are 0.
func (s *Node) WriteWide(out io.Writer) error { return s.write(out, true) }

func (s *Node) write(out io.Writer, zeros bool) error {
	w := bufio.NewWriter(out)
	fmt.Fprintln(w, s.summary())
	if r := s.Rejected; r != nil {
		fmt.Fprintf(w, "REJECTED the tree published as generation %d, %s ago:\n  %s\n", s.Published, age(s.Now, r.At), r.Reason)
	}
	if b := s.Bridges; b != nil && len(b.Disabled) > 0 {
		fmt.Fprintf(w, "NOT ENFORCED between the pods of %s:\n  load br_netfilter, and set to 1: %s\n", strings.Join(b.Names, ", "), strings.Join(b.Disabled, ", "))
	}
	s.writeBypassed(w)
	fmt.Fprintln(w)
	writeLine(w, "node", "%s", orNone(s.Node))
	writeLine(w, "running for", "%s", age(s.Now, s.Started))
	writeLine(w, "generation", "published %d, acknowledged %d", s.Published, s.Generation)
	writeLine(w, "pods", "%d, %d of them isolated", s.Pods, s.IsolatedPods)
	if b := s.Bridges; b != nil {
		tagged := "dropped"
		if b.TaggedFrames != "" {
			tagged = "not dropped: " + b.TaggedFrames
		}
		writeLine(w, "bridges", "%s; VLAN-tagged frames are %s", strings.Join(b.Names, ", "), tagged)
	}
	if p := s.PodPackets; p != nil {
		writeLine(w, "packets of pods", "seen on %d interfaces, %d too idle to compare", p.Observed, p.Idle)
	}
	writeLine(w, "queueing", "%s, %s", orNone(s.Queueing), queueNumbers(s.QueueBase, s.Queues))
	writeLine(w, "failure policy", "%s", s.FailurePolicy)
	writeLine(w, "deny", "%s", s.Deny)
	writeLine(w, "mark mask", "%#x", s.MarkMask)
	writeLine(w, "rules repaired", "%s", times(s.Repairs))
	writeLine(w, "open connections", "%s", s.reevaluated())
	if t := s.Conntrack; t != nil {
		writeLine(w, "conntrack table", "%s", usage(t))
	}
	if h := s.Hits; h != nil {
		writeLine(w, "rules", "%d, %d of them never used in %s", h.Rules, h.Unused, age(s.Now, h.Since))
	}
	fmt.Fprintln(w)
	s.writeVerdicts(w, zeros)
	return flush(w)
}

// writeBypassed writes the interfaces of pods whose packets bypass the rules.
func (s *Node) writeBypassed(w io.Writer) {
	if s.PodPackets == nil || s.PodPackets.Bypassed == 0 {
		return
	}
	fmt.Fprintf(w, "NOT ENFORCED on %d interfaces of pods, because their packets bypass netfilter:\n", s.PodPackets.Bypassed)
	for _, e := range s.PodPackets.Examples {
		fmt.Fprintf(w, "  %s (pod %s): %d of %d packets were seen\n", e.Interface, e.Pod, e.Seen, e.Sent)
	}
}

// summary returns a sentence that states which generation is enforced.
func (s *Node) summary() string {
	switch {
	case s.Generation == 0 && s.Seen == 0 && s.Queueing == "":
		return "Not enforcing yet: waiting for the first tree. No packet is affected until then."
	case s.Generation == 0 && s.Seen == 0:
		return "Not enforcing yet: waiting for the first tree. New connections of pods are held until then."
	case s.Generation < s.Seen:
		return fmt.Sprintf("Enforcing generation %d for new connections; open connections are still being re-evaluated.", s.Seen)
	case s.Published > s.Generation && s.Rejected == nil:
		return fmt.Sprintf("Enforcing generation %d; generation %d is published but not enforced yet.", s.Generation, s.Published)
	default:
		return fmt.Sprintf("Enforcing generation %d for new and open connections.", s.Generation)
	}
}

func writeLine(w io.Writer, name, format string, args ...any) {
	fmt.Fprintf(w, "%-17s %s\n", name, fmt.Sprintf(format, args...))
}

// reevaluated describes the latest re-evaluation of open connections.
func (s *Node) reevaluated() string {
	l := s.Reevaluated.Last
	if l == nil {
		return "not re-evaluated yet"
	}
	return fmt.Sprintf("re-evaluated %s ago in %s: evaluated %d; newly accepted %d, denied %d, cleared %d",
		age(s.Now, l.At), l.Took.Round(time.Microsecond), l.Connections, l.Accepted, l.Denied, l.Cleared)
}

func (s *Node) writeVerdicts(w *bufio.Writer, zeros bool) {
	v := &s.Verdicts
	writeLine(w, "packets evaluated", "%d: accepted %d, denied %d, mid-stream %d", v.Packets, v.Accepted, v.Denied, v.MidStream)
	writeLine(w, "unreadable", "%s", faults(v.Unreadable))
	if s.Unevaluated > 0 {
		writeLine(w, "unevaluated", "%d accepted without a verdict since the rules were created (failure policy Open)", s.Unevaluated)
	}
	writeLine(w, "queues", "waiting %d, full queue %d, full socket buffer %d", v.Waiting, v.QueueDropped, v.SocketDropped)
	s.writeFlooding(w)
	s.writeHeld(w)
	writeSides(w, v.Sides, zeros)
}

// writeFlooding describes the flood queue and the flooding pods.
func (s *Node) writeFlooding(w io.Writer) {
	q := s.Verdicts.FloodQueue
	if q == nil || q.Packets+q.Dropped+q.Waiting == 0 && len(s.Flooding) == 0 {
		return
	}
	writeLine(w, "flood queue", "waiting %d, evaluated %d, dropped %d", q.Waiting, q.Packets, q.Dropped)
	for i := range s.Flooding {
		f := &s.Flooding[i]
		verb := "opened"
		if f.Direction == "ingress" {
			verb = "received"
		}
		writeLine(w, "", "%s %s up to %d new flows per second, last %s ago", cmp.Or(f.Pod, f.Address.String()), verb, f.PerSecond, age(s.Now, f.Last))
	}
}

// writeHeld describes the held packets. The dataplane holds a packet to or from a pod while the
// tree does not contain the pod.
func (s *Node) writeHeld(w io.Writer) {
	h := &s.Held
	if h.Limit == 0 {
		writeLine(w, "unknown pods", "packets are not held")
		return
	}
	writeLine(w, "unknown pods", "holding %d packets, for at most %s; released %d, not of a pod %d", h.Waiting, h.Limit, h.Released, h.NotPods)
	if failed := h.TimedOut + h.NoAgent + h.OverLimit; failed > 0 {
		writeLine(w, "", "the failure policy decided: time limit %d, no agent %d, too many %d", h.TimedOut, h.NoAgent, h.OverLimit)
	}
	if h.PodRanges {
		writeLine(w, "", "pods of other nodes: allowed by a later tree %d, denied %d, too many %d", h.PeersAllowed, h.PeersDenied, h.PeersOverLimit)
	}
	if h.AgentGone {
		writeLine(w, "", "no agent is running: packets of unknown pods are not held once there is a tree")
	}
	if len(h.Learned) > 0 {
		writeLine(w, "", "interfaces without pods: %s", strings.Join(h.Learned, ", "))
	}
}

// faults lists the reasons why the dataplane could not decode packets, with the number of packets
// for each reason.
func faults(counts map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// writeSides writes a table with the number of Allow and Deny verdicts for each direction,
// address family and protocol. If `zeros` is false, it omits rows in which both numbers are zero.
// The `sides` parameter contains pairs of entries with the same direction, family and protocol:
// first the entry for Deny, and then the entry for Allow.
func writeSides(w *bufio.Writer, sides []report.SideCount, zeros bool) {
	t := table.New("verdicts", "family", "protocol", "allow", "deny").Right(3, 4)
	rows := 0
	for i := 0; i+1 < len(sides); i += 2 {
		deny, allow := sides[i], sides[i+1]
		if zeros || deny.Count+allow.Count > 0 {
			t.Row(deny.Direction, deny.Family, deny.Protocol, strconv.FormatUint(allow.Count, 10), strconv.FormatUint(deny.Count, 10))
			rows++
		}
	}
	if rows > 0 {
		fmt.Fprintln(w)
		writeTable(w, t, "")
	}
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

// usage describes how full the connection tracking table is.
func usage(t *report.Conntrack) string {
	if t.Max == 0 {
		return fmt.Sprintf("%d entries, no limit", t.Entries)
	}
	return fmt.Sprintf("%d of at most %d entries (%d%%)", t.Entries, t.Max, uint64(t.Entries)*100/uint64(t.Max))
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

// age returns the time between the parameters `then` and `now`.
func age(now, then time.Time) string { return phrase.Age(now.Sub(then)) }
