package hits

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/sluicenet/sluice/internal/table"
	"github.com/sluicenet/sluice/query/internal/phrase"
)

// maxMissing is the maximum number of nodes that WriteText lists as missing.
const maxMissing = 5

// WriteText writes the result as human-readable text.
func (h *Hits) WriteText(out io.Writer) error {
	w := bufio.NewWriter(out)
	h.writeMissing(w)
	if len(h.Overflow) > 0 {
		fmt.Fprintf(w, "NOT COMPLETE: too many rules to count all of them on %s.\n", phrase.Few(h.Overflow))
	}
	fmt.Fprintln(w, h.summary())
	partly := false
	if len(h.Rules) > 0 {
		t := table.New("policy", "hits", "last used", "counted since (UTC)", "rule").Right(1)
		for i := range h.Rules {
			r := &h.Rules[i]
			partly = partly || r.CountedPartly
			t.Row(r.policyText(), r.countText(), r.lastText(h.Now), timeText(r.Since), r.Text)
		}
		fmt.Fprintln(w)
		if err := t.Write(w, ""); err != nil {
			return fmt.Errorf("writing hits: %w", err)
		}
		h.writeNotes(w, partly)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing hits: %w", err)
	}
	return nil
}

// writeMissing writes the nodes that did not respond.
func (h *Hits) writeMissing(w io.Writer) {
	if len(h.Missing) == 0 {
		return
	}
	fmt.Fprintf(w, "NOT COMPLETE: %d of %s did not respond, so the rules may be used there:\n",
		len(h.Missing), phrase.Number(len(h.Missing)+h.Nodes, "node", "nodes"))
	for i, m := range h.Missing {
		if i == maxMissing {
			fmt.Fprintf(w, "  %d more (-o json lists all)\n", len(h.Missing)-i)
			break
		}
		fmt.Fprintf(w, "  %s: %s\n", m.Node, m.Reason)
	}
}

// summary returns a sentence with the number of rules that were never used.
func (h *Hits) summary() string {
	if h.Nodes == 0 {
		return "No node has counted rules."
	}
	rules, unused, where := 0, 0, ""
	for i := range h.Rules {
		if r := &h.Rules[i]; r.Rule != nil {
			rules++
			if r.unused() {
				unused++
			}
		}
	}
	if h.Namespace != "" {
		where = " in namespace " + h.Namespace
	}
	on := fmt.Sprintf("%s since %s UTC", phrase.Number(h.Nodes, "node", "nodes"), h.Since.UTC().Format(time.DateTime))
	if h.Unused {
		return fmt.Sprintf("Never used: %s%s. Counted on %s.", phrase.Number(unused, "rule", "rules"), where, on)
	}
	return fmt.Sprintf("Never used: %d of %s%s. Counted on %s.", unused, phrase.Number(rules, "rule", "rules"), where, on)
}

func (r *Rule) policyText() string {
	if r.Tier == "" {
		return r.Policy
	}
	return fmt.Sprintf("%s (%s tier)", r.Policy, r.Tier)
}

func (r *Rule) countText() string {
	text := strconv.FormatUint(r.Count, 10)
	if r.CountedPartly {
		text += "+"
	}
	return text
}

// lastText returns how long ago the rule was used.
func (r *Rule) lastText(now time.Time) string {
	switch {
	case r.Count > 0:
		return phrase.Age(max(0, now.Sub(r.Last))) + " ago"
	case r.Rule == nil || r.CountedPartly:
		return table.None
	default:
		return "never"
	}
}

// timeText returns a time for a cell. It returns None for the zero time.
func timeText(t time.Time) string {
	if t.IsZero() {
		return table.None
	}
	return t.UTC().Format(time.DateTime)
}

// writeNotes explains the table.
func (h *Hits) writeNotes(w io.Writer, partly bool) {
	notes := []string{"", "A hit is the first packet of a flow. Later packets of an accepted connection are not counted."}
	if partly {
		notes = append(notes, "+ The kernel accepts some flows without an evaluation, because no policy can deny them.", "  They are not counted.")
	}
	for i := range h.Rules {
		if h.Rules[i].Applied == 0 {
			notes = append(notes, "If a rule has no time, it has not applied to any pod on these nodes.")
			break
		}
	}
	fmt.Fprintln(w, strings.Join(notes, "\n"))
}
