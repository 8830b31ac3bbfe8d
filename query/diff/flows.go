package diff

import (
	"fmt"

	"github.com/sluicenet/sluice/dataplane/report"
)

// maxFlows is the maximum number of kinds of flows in Flows.
const maxFlows = 10_000

// Flows lists the flows that nodes evaluated during the comparison and whose verdict changes.
type Flows struct {
	// Evaluated is the number of evaluations that the nodes reported. If two nodes evaluate a flow,
	// it counts twice.
	Evaluated int `json:"evaluated"`
	// Changed contains one entry for each kind of flow. Flows of the same kind have the same
	// protocol, ends, destination port and effect. Changed contains at most 10,000 entries.
	Changed []FlowCount `json:"changed"`
	// Missed is an upper bound for the number of evaluations that the nodes did not report.
	Missed uint64 `json:"missed,omitempty"`
	// Errors describes the nodes whose flows are missing.
	Errors []string `json:"errors,omitempty"`

	at map[string]int
}

// FlowCount describes flows of the same kind.
type FlowCount struct {
	// Flow is the first of these flows.
	Flow
	// Count is the number of evaluations.
	Count int `json:"count"`
}

// NewFlows returns an empty list.
func NewFlows() *Flows { return &Flows{Changed: []FlowCount{}, at: map[string]int{}} }

// Add evaluates a flow event of a node. If the verdict changes, and the list contains no flow of this
// kind yet, Add calls the function `changed`.
func (f *Flows) Add(nodes *Nodes, node string, e *report.Event, changed func(*Flow)) error {
	f.Missed += e.Missed
	if !e.Src.IsValid() { // The packet could not be decoded.
		return nil
	}
	flow, differs, err := nodes.Event(node, e)
	if err != nil {
		return err
	}
	f.Evaluated++
	if !differs {
		return nil
	}
	src, dst := flow.SrcPod, flow.DstPod
	if src == "" {
		src = flow.Src.String()
	}
	if dst == "" {
		dst = flow.Dst.String()
	}
	key := fmt.Sprint(flow.Effect, flow.Protocol, " ", src, " ", dst, " ", flow.DstPort, flow.Src.Is4())
	at, ok := f.at[key]
	switch {
	case ok:
		f.Changed[at].Count++
	case len(f.Changed) < maxFlows:
		f.at[key] = len(f.Changed)
		f.Changed = append(f.Changed, FlowCount{flow, 1})
		changed(&flow)
	}
	return nil
}
