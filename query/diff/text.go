package diff

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/sluicenet/sluice/query/internal/phrase"
)

// WriteText writes the difference as human-readable text, one line for each change. It does not write
// the flows.
func (d *Diff) WriteText(out io.Writer) error {
	w := bufio.NewWriter(out)
	for _, p := range d.Policies {
		fmt.Fprintf(w, "policy %s %s\n", p.Name, p.Change)
	}
	if len(d.Policies) > 0 {
		fmt.Fprintln(w)
	}
	ends := map[string]*End{}
	for i := range d.Ends {
		ends[d.Ends[i].Name] = &d.Ends[i]
	}
	for i := range d.Changes {
		fmt.Fprintln(w, d.line(&d.Changes[i], ends))
	}
	if d.Empty() {
		fmt.Fprintln(w, "No flow gains or loses a port.")
	}
	if d.Connections != nil {
		d.Connections.writeText(w)
	}
	for _, note := range d.Notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the difference: %w", err)
	}
	return nil
}

// line describes a change in one line.
func (d *Diff) line(c *Change, ends map[string]*End) string {
	verb := " loses "
	if c.Effect == Gain {
		verb = " gains "
	}
	families := ""
	if len(c.Families) > 0 {
		families = " (" + strings.Join(c.Families, ", ") + " only)"
	}
	var causes []string
	for i := range c.Causes {
		causes = append(causes, c.Causes[i].Text)
	}
	return d.names(c.From, ends) + " -> " + d.names(c.To, ends) + verb + strings.Join(c.Ports, ", ") + families + ": " + strings.Join(causes, "; ")
}

// names describes a list of ends. If the list contains all pods, or all but one, it returns "every
// pod" instead of the names of pods.
func (d *Diff) names(names []string, ends map[string]*End) string {
	var others []string
	pods := 0
	for _, name := range names {
		if n := len(ends[name].Pods); n > 0 {
			pods += n
		} else {
			others = append(others, name)
		}
	}
	if len(names)-len(others) < phrase.MaxNames || pods < d.everyPod-1 {
		return phrase.Few(names)
	}
	return phrase.Few(append([]string{"every pod"}, others...))
}

func (c *Connections) writeText(w io.Writer) {
	fmt.Fprintf(w, "\n%d of %d open connections would be cut", len(c.Cut), c.Evaluated)
	for i := range c.Cut {
		fmt.Fprintf(w, "\n  %s", &c.Cut[i])
	}
	fmt.Fprintln(w)
	for _, text := range c.Errors {
		fmt.Fprintf(w, "not included: %s\n", text)
	}
}

// WriteText writes a summary of the flows.
func (f *Flows) WriteText(w io.Writer) error {
	lost, gained := 0, 0
	for i := range f.Changed {
		if f.Changed[i].Effect == Lose {
			lost += f.Changed[i].Count
		} else {
			gained += f.Changed[i].Count
		}
	}
	text := fmt.Sprintf("\n%d evaluated flows: %d would be denied and %d would be allowed after the change\n", f.Evaluated, lost, gained)
	for i := range f.Changed {
		text += fmt.Sprintf("  %5d times %s\n", f.Changed[i].Count, f.Changed[i].Change())
	}
	if f.Missed > 0 {
		text += fmt.Sprintf("at most %d flows were not reported, because nodes evaluated too many\n", f.Missed)
	}
	for _, e := range f.Errors {
		text += "not included: " + e + "\n"
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("writing flows: %w", err)
	}
	return nil
}

// Change describes the flow and its new verdict in one line.
func (f *Flow) Change() string {
	if f.Effect == Gain {
		return "allowed: " + f.String()
	}
	return "denied: " + f.String()
}
