package demo

import (
	"net/netip"
)

// Report is what the demo found.
type Report struct {
	Title string `json:"title"`
	// Agree reports whether the wire did in every cell what the policies say,
	// before and after every change.
	Agree bool     `json:"agree"`
	Ends  []*End   `json:"ends"`
	Ports []string `json:"ports"`
	// Notes are what was left out.
	Notes []string `json:"notes,omitempty"`
	// Rounds are the state of the cluster at first and after each change.
	Rounds []*Round `json:"rounds"`
	// Packets are those of the first round.
	Packets  Packets   `json:"packets"`
	Download *Download `json:"download,omitempty"`
}

// Round is every connection tried once.
type Round struct {
	// Command is the change before the round, empty for the first.
	Command string `json:"command,omitempty"`
	// Generation is the tree that was in force; Enforced is how long it took
	// from its publication until the dataplane said that it enforces it.
	Generation uint64 `json:"generation"`
	Enforced   int64  `json:"enforcedNanoseconds"`
	// Differ counts the connections that did not do what the policies say.
	Differ int `json:"differ"`
	// Held were open while the policies changed.
	Held        []*Held      `json:"held,omitempty"`
	Connections []Connection `json:"connections"`

	cells []*Cell
}

// Connection is a Cell as it stands in JSON.
type Connection struct {
	From     string     `json:"from"`
	To       string     `json:"to"`
	Src      netip.Addr `json:"src"`
	Dst      netip.Addr `json:"dst"`
	Protocol string     `json:"protocol"`
	Port     uint16     `json:"port"`
	// Verdict is Allow or Deny, Wire is connected, refused or timeout.
	Verdict string `json:"verdict"`
	Wire    string `json:"wire"`
	Agrees  bool   `json:"agrees"`
	Egress  side   `json:"egress"`
	Ingress side   `json:"ingress"`
}

func newRound(command string, cells []*Cell) *Round {
	r := &Round{Command: command, cells: cells}
	for _, c := range cells {
		if !c.Agrees() {
			r.Differ++
		}
		r.Connections = append(r.Connections, Connection{
			From: c.From.Name, To: c.To.Name, Src: c.Src, Dst: c.Dst,
			Protocol: c.protocol().String(), Port: c.Port.Number,
			Verdict: c.Policies.String(), Wire: c.Wire.String(), Agrees: c.Agrees(),
			Egress: c.Egress, Ingress: c.Ingress,
		})
	}
	return r
}

// hold adds connections that were open before the round.
func (r *Round) hold(held []*Held) {
	r.Held = held
	for _, h := range held {
		if !h.Agrees {
			r.Differ++
		}
	}
}

// mostMismatches bounds how many cells are named one by one.
const mostMismatches = 20

// mismatches names the connections in which wire and policies differ.
func (p *page) mismatches(r *Round) {
	shown, cells := 0, r.Differ
	for _, h := range r.Held {
		if !h.Agrees {
			cells--
			p.line("  %s open while it changed: %s: policies say %s, the wire shows: %s", p.paint(alarm, "!"), h, h.Verdict, h.fate())
		}
	}
	for _, c := range r.cells {
		if c.Agrees() {
			continue
		}
		if shown == mostMismatches {
			p.line("    and %d more", cells-shown)
			return
		}
		shown++
		p.line("  %s %s → %s  %s  %s → %s: policies say %s, the wire shows %s",
			p.paint(alarm, "!"), c.From.Name, c.To.Name, c.Port, c.Src, c.Dst, c.Policies, c.Wire)
	}
}
