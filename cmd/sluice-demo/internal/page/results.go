package page

import (
	"fmt"
	"strings"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
)

// Title writes the title of the page.
func (p *Page) Title(text string) { p.Line("%s\n", p.paint(bold, text)) }

// Command writes the command with which a cluster user would make a change.
func (p *Page) Command(command string) { p.Line("  $ %s", p.paint(bold, command)) }

// Notes writes one note for each part of the manifests that the demo omitted.
func (p *Page) Notes(notes []string) {
	for _, note := range notes {
		p.Line("  %s", p.paint(faint, note))
	}
}

// Tables writes a table with the results for each port, and a legend.
func (p *Page) Tables(ends []*topology.End, ports []topology.Port, attempts []*wire.Attempt) {
	for _, t := range tables(ends, ports, attempts) {
		p.table(t, ends)
	}
	p.legend()
}

// Cost writes how many packets the kernel passed to user space.
func (p *Page) Cost(r *wire.Report) {
	p.Line("  Of %s that came to the node, %s went to user space: the first packets of flows.",
		Count(r.Packets.All, "packet"), thousands(r.Packets.Queued))
	if d := r.Download; d != nil {
		p.Line("  Then %s sent %d MiB to %s over %s: %s, %s to user space.",
			d.From, d.Bytes>>20, d.To, d.Port, Count(d.Packets.All, "packet"), thousands(d.Packets.Queued))
	}
}

// Conclusion writes whether the results agree with the policies, and lists the connections
// whose results differ.
func (p *Page) Conclusion(r *wire.Report) {
	attempts, open, differ := 0, 0, 0
	for _, round := range r.Rounds {
		attempts += len(round.Connections)
		open += len(round.Open)
		differ += round.Differ
	}
	all := Count(uint64(attempts), "connection")
	if open > 0 {
		all += fmt.Sprintf(", and for %d open during a change", open)
	}
	if differ == 0 {
		p.Line("\n%s Results and policies agree for all %s.", p.paint(green, string(opens)), all)
		return
	}
	p.Line("\n%s Results and policies differ for %d of %s:", p.paint(red, string(denied)), differ, Count(uint64(attempts+open), "connection"))
	for _, round := range r.Rounds {
		if round.Command != "" && round.Differ > 0 {
			p.Line("  after %s", round.Command)
		}
		p.mismatches(round)
	}
}

// maxMismatches is the maximum number of connections that mismatches lists.
const maxMismatches = 20

// mismatches lists the connections in a round whose results contradict the policies.
func (p *Page) mismatches(r *wire.Round) {
	shown, attempts := 0, r.Differ
	for _, o := range r.Open {
		if !o.Agrees {
			attempts--
			p.Line("  %s open during the change: %s: verdict %s, result: %s", p.paint(alarm, "!"), o, o.Verdict, fate(o))
		}
	}
	for _, a := range r.Attempts {
		if a.Agrees() {
			continue
		}
		if shown == maxMismatches {
			p.Line("    and %d more", attempts-shown)
			return
		}
		shown++
		p.Line("  %s %s → %s  %s  %s → %s: verdict %s, result %s",
			p.paint(alarm, "!"), a.From.Name, a.To.Name, a.Port, a.Src, a.Dst, a.Verdict, a.Result)
	}
}

// Open writes what happened to the connections that stayed open during a change.
func (p *Page) Open(r *wire.Round) {
	if len(r.Open) == 0 {
		return
	}
	p.Line("    Open connections. Times start at the publication, which was acknowledged after %s.", milliseconds(r.Enforced))
	for _, o := range r.Open {
		sign, style := denied, red
		if o.Continues {
			sign, style = opens, green
		}
		wrong := ""
		if !o.Agrees {
			style, wrong = alarm, "  "+p.paint(alarm, "differs!")
		}
		p.Line("    %s %s  %s%s", p.paint(style, string(sign)), fit(fate(o), fateWidth), o, wrong)
	}
}

// fateWidth is the width of the longest text that fate returns: "continues, longest pause
// 123.4 ms".
const fateWidth = 33

// fate describes what happened to an open connection when the policies changed.
func fate(o *wire.Open) string {
	switch {
	case o.Continues:
		return "continues, longest pause " + milliseconds(*o.Pause)
	case *o.Last < 0 && !o.Allowed():
		// The connection was cut before it could transfer data again.
		return "cut at once"
	case *o.Last < 0:
		return "last data " + milliseconds(-*o.Last) + " before"
	default:
		return "last data after " + milliseconds(*o.Last)
	}
}

func milliseconds(nanoseconds int64) string {
	return fmt.Sprintf("%.1f ms", float64(nanoseconds)/1e6)
}

// Hint is a command for the user, and the purpose of the command.
type Hint struct{ Purpose, Command string }

// Hints writes commands that the user can run while the demo keeps running. The `namespaces`
// parameter contains the commands that enter a network namespace. The `others` parameter
// contains all other commands.
func (p *Page) Hints(namespaces, others []Hint) {
	p.Line("\n%s", p.paint(bold, "Everything keeps running until you press Ctrl-C"))
	p.Line("  Run these commands in another terminal, as root. To enter the network namespace of:")
	p.hints(namespaces)
	p.Line("  Other things to try:")
	p.hints(others)
}

func (p *Page) hints(all []Hint) {
	width := 0
	for _, h := range all {
		width = max(width, len(h.Purpose))
	}
	for _, h := range all {
		p.Line("    %s%s  %s", h.Purpose, p.paint(faint, strings.Repeat(" ", width-len(h.Purpose))), p.paint(bold, h.Command))
	}
}
