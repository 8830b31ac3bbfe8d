package wire

import (
	"net/netip"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/dataplane/report"
)

// Report is the result of a demo, as JSON.
type Report struct {
	Title string `json:"title"`
	// Agree reports whether, before and after every change, a connection was
	// opened if and only if the policies allow it.
	Agree bool            `json:"agree"`
	Ends  []*topology.End `json:"ends"`
	Ports []string        `json:"ports"`
	// Notes name what was left out.
	Notes []string `json:"notes,omitempty"`
	// Rounds are the first round, and one round after each change.
	Rounds []*Round `json:"rounds"`
	// Packets are those of the first round.
	Packets  Packets   `json:"packets"`
	Download *Download `json:"download,omitempty"`
}

// Round is one attempt of every connection.
type Round struct {
	// Command is the change before the round. It is empty for the first round.
	Command string `json:"command,omitempty"`
	// Generation is the tree that was enforced. Enforced is the time from its
	// publication until the dataplane acknowledged it.
	Generation uint64 `json:"generation"`
	Enforced   int64  `json:"enforcedNanoseconds"`
	// Differ is the number of connections that contradict the policies.
	Differ int `json:"differ"`
	// Open are the connections that were open while the policies changed.
	Open        []*Open      `json:"openConnections,omitempty"`
	Connections []Connection `json:"connections"`

	Attempts []*Attempt `json:"-"`
}

// Connection is an Attempt as JSON.
type Connection struct {
	From     string     `json:"from"`
	To       string     `json:"to"`
	Src      netip.Addr `json:"src"`
	Dst      netip.Addr `json:"dst"`
	Protocol string     `json:"protocol"`
	Port     uint16     `json:"port"`
	// Verdict is Allow or Deny. Wire is connected, rejected or timeout.
	Verdict string      `json:"verdict"`
	Wire    string      `json:"wire"`
	Agrees  bool        `json:"agrees"`
	Egress  report.Side `json:"egress"`
	Ingress report.Side `json:"ingress"`
}

// NewRound returns the round of attempts that have been made.
func NewRound(command string, attempts []*Attempt) *Round {
	r := &Round{Command: command, Attempts: attempts}
	for _, a := range attempts {
		if !a.Agrees() {
			r.Differ++
		}
		r.Connections = append(r.Connections, Connection{
			From: a.From.Name, To: a.To.Name, Src: a.Src, Dst: a.Dst,
			Protocol: a.Protocol().String(), Port: a.Port.Number,
			Verdict: a.Verdict.String(), Wire: a.Result.String(), Agrees: a.Agrees(),
			Egress: a.Egress, Ingress: a.Ingress,
		})
	}
	return r
}

// AddOpen adds the connections that were open before the round.
func (r *Round) AddOpen(open []*Open) {
	r.Open = open
	for _, o := range open {
		if !o.Agrees {
			r.Differ++
		}
	}
}
