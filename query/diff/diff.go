package diff

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/internal/phrase"
)

// Diff is the difference between what policies allow before and after a change.
type Diff struct {
	query.TypeMeta
	// Policies lists the policies that the change adds, changes or removes, sorted by name.
	Policies []PolicyChange `json:"policies"`
	// Changes lists the flows whose verdict changes. Lost flows come before gained flows.
	Changes []Change `json:"changes"`
	// Ends describes each name in the changes, sorted by name.
	Ends []End `json:"ends"`
	// Connections lists the open connections that would be cut. It is nil if the
	// connections were not read from nodes.
	Connections *Connections `json:"connections,omitempty"`
	// Flows lists the flows that nodes evaluated during the comparison and whose verdict changes.
	Flows *Flows `json:"flows,omitempty"`
	// Notes are sentences about objects that the comparison omits.
	Notes []string `json:"notes,omitempty"`

	// everyPod contains the number of pods that were compared.
	everyPod int
}

// PolicyChange is a policy that the change adds, changes or removes.
type PolicyChange struct {
	// Name is "namespace/name" for a NetworkPolicy, and the name alone for a ClusterNetworkPolicy.
	Name string `json:"name"`
	// Change is "added", "changed" or "removed".
	Change string `json:"change"`
}

// Change is a set of flows whose verdict changes because of the same causes: the flows from each
// end in From to each end in To on the given ports. A pod that belongs to an end in From and to an
// end in To has no flow to itself.
type Change struct {
	// Effect is Gain if the flows are denied before and allowed after the change. It is Lose if they
	// are allowed before and denied after the change.
	Effect string `json:"effect"`
	// From and To are names of ends, sorted.
	From []string `json:"from"`
	To   []string `json:"to"`
	// Ports lists protocols with destination ports, such as "TCP 80", "UDP 8000-8080" or "every TCP
	// port". It can also contain WithoutPorts, or only EveryPort. EveryPort can be followed by
	// exceptions, as in "every port except TCP 80, UDP 53".
	Ports []string `json:"ports"`
	// Families contains the address family, IPv4 or IPv6, if the flows of the other family do not
	// change in the same way.
	Families []string `json:"families,omitempty"`
	// Causes contains one or two causes: one for each side that changes its verdict to the new
	// verdict.
	Causes []Cause `json:"causes"`
}

// Values of Change.Effect.
const (
	Gain = "Gain"
	Lose = "Lose"
)

// Values in Change.Ports. EveryPort means every port of every protocol, and every protocol without
// ports. WithoutPorts means every protocol without ports.
const (
	EveryPort    = "every port"
	WithoutPorts = "protocols without ports"
)

// Cause is the reason why one side of a flow changes its verdict.
type Cause struct {
	// Direction is the side: egress or ingress.
	Direction string `json:"direction"`
	// Policies contains the name of the policy to which the rule belongs. If no rule is the cause,
	// it contains the names of the policies that isolate the pod after the change, or that no
	// longer isolate it.
	Policies []string `json:"policies"`
	// Field is the path of the rule, such as spec.ingress[0]. Change describes what happened to the
	// rule, such as "removed". Both are empty if no rule is the cause.
	Field  string `json:"field,omitempty"`
	Change string `json:"change,omitempty"`
	// Text describes the cause in one phrase.
	Text string `json:"text"`
}

// End is one end of flows: pods of a workload, or addresses that belong to no pod.
type End struct {
	// Name is unique. For pods, it is the workload, such as "shop/web", or the pods if other pods of
	// the workload change in another way.
	Name string   `json:"name"`
	Pods []string `json:"pods,omitempty"`
	// Addresses lists CIDRs. The end consists of the addresses in these CIDRs that are not in Except
	// and that belong to no pod.
	Addresses []string `json:"addresses,omitempty"`
	Except    []string `json:"except,omitempty"`
}

// Of compares what the policies of a set allow with what they would allow if the objects in a draft
// were applied and the policies in the `deleted` list were deleted. See Overlay. Workloads without
// pods are compared by their pod templates. Of does not change the sets.
func Of(base, draft *inventory.Set, deleted []string) (d *Diff, err error) {
	before, after, err := states(base, draft, deleted)
	if err != nil {
		return nil, err
	}
	c, err := newComparison(&before.Set, &after.Set)
	if err != nil {
		return nil, err
	}
	d = c.diff()
	d.Notes = append(d.Notes, c.notes(&after.Set)...)
	return d, c.close()
}

// states returns the objects before and after a change.
func states(base, draft *inventory.Set, deleted []string) (before, after *set, err error) {
	before = copyOf(base)
	before.prepare()
	overlay, err := Overlay(&before.Set, draft, deleted)
	if err != nil {
		return nil, nil, err
	}
	after = &set{*overlay}
	after.prepare()
	return before, after, nil
}

// Empty reports whether no verdict changes.
func (d *Diff) Empty() bool { return len(d.Changes) == 0 }

func (c *comparison) diff() *Diff {
	d := &Diff{TypeMeta: query.NewTypeMeta("Diff"), Policies: c.policies(), Changes: []Change{}, Ends: []End{}}
	r := newCollector(c)
	r.addPods()
	r.addOutside()
	d.Changes, d.Ends = r.changes()
	for _, g := range c.groups {
		d.everyPod += len(g.pods)
	}
	return d
}

// policies lists the changed policies.
func (c *comparison) policies() []PolicyChange {
	out := []PolicyChange{}
	for _, p := range c.changedBefore {
		change := "changed"
		if c.after.policies[p.String()] == nil {
			change = "removed"
		}
		out = append(out, PolicyChange{p.String(), change})
	}
	for _, p := range c.changedAfter {
		if c.before.policies[p.String()] == nil {
			out = append(out, PolicyChange{p.String(), "added"})
		}
	}
	slices.SortFunc(out, func(a, b PolicyChange) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// notes lists errors in new policies, and pods that are not compared.
func (c *comparison) notes(after *inventory.Set) (notes []string) {
	for _, p := range c.changedAfter {
		for _, e := range p.Errors {
			notes = append(notes, fmt.Sprintf("policy %s: %s", p, e))
		}
	}
	var created []string
	for i := range after.Pods {
		p := &after.Pods[i].Pod
		if c.after.cohorts[p.String()] != nil && c.before.cohorts[p.String()] == nil {
			created = append(created, p.String())
		}
	}
	if len(created) > 0 {
		notes = append(notes, "new pods are not compared: "+phrase.Few(created))
	}
	return notes
}

var _ interface{ WriteText(io.Writer) error } = (*Diff)(nil)
