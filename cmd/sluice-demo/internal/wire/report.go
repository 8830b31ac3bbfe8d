package wire

import (
	"net/netip"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/dataplane/report"
)

// Report contains the results of a demo. It is also the JSON output of sluice-demo.
type Report struct {
	Title string `json:"title"`
	// Agree is true if all results of all rounds agree with the policies. A result agrees if
	// the policies allow the connection and it was opened, or if the policies deny the
	// connection and it was not opened.
	Agree bool            `json:"agree"`
	Ends  []*topology.End `json:"ends"`
	Ports []string        `json:"ports"`
	// Notes contains one sentence for each part of the manifests that was omitted.
	Notes []string `json:"notes,omitempty"`
	// Rounds contains the first round, and one round after each change.
	Rounds []*Round `json:"rounds"`
	// Packets contains the number of packets that arrived during the first round.
	Packets  Packets   `json:"packets"`
	Download *Download `json:"download,omitempty"`
}

// Round contains the results of opening each connection once.
type Round struct {
	// Command is the command for the change before the round. For the first round, Command is
	// empty.
	Command string `json:"command,omitempty"`
	// Generation is the generation that was enforced during the round. Enforced is the time
	// from the publication of this generation until the dataplane acknowledged the
	// generation.
	Generation uint64 `json:"generation"`
	Enforced   int64  `json:"enforcedNanoseconds"`
	// Differ is the number of connections whose results contradict the policies.
	Differ int `json:"differ"`
	// Open contains the connections that were open during the change before the round.
	Open        []*Open      `json:"openConnections,omitempty"`
	Connections []Connection `json:"connections"`

	Attempts []*Attempt `json:"-"`
}

// Connection is the JSON form of an Attempt.
type Connection struct {
	From     string     `json:"from"`
	To       string     `json:"to"`
	Src      netip.Addr `json:"src"`
	Dst      netip.Addr `json:"dst"`
	Protocol string     `json:"protocol"`
	Port     uint16     `json:"port"`
	// Verdict is Allow or Deny. Wire is the result: connected, rejected or timeout.
	Verdict string      `json:"verdict"`
	Wire    string      `json:"wire"`
	Agrees  bool        `json:"agrees"`
	Egress  report.Side `json:"egress"`
	Ingress report.Side `json:"ingress"`
}

// NewRound returns a round with the results of attempts. The `command` parameter is the command
// for the change before the round.
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

// AddOpen adds the connections that were open during the change before the round.
func (r *Round) AddOpen(open []*Open) {
	r.Open = open
	for _, o := range open {
		if !o.Agrees {
			r.Differ++
		}
	}
}
