package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/page"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/wire"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/test/lab"
)

// Change is a change of the cluster that the demo makes while the dataplane runs.
type Change struct {
	// Command is the command with which a cluster user would make this change. The demo
	// prints the command but does not run it.
	Command string
	Apply   func(*policy.Snapshot)
}

// ExampleChanges returns the changes for example.NetworkPolicies. The first change adds a label to
// a pod, so that policies treat the pod as a frontend. The second change adds a default policy to
// the namespace with the name default.
func ExampleChanges() []Change {
	deny := &policy.Policy{
		Scope: "default", Name: "default-deny-ingress", Tier: rule.NetworkPolicyTier,
		Subject:  policy.PodSet{Namespace: "default"},
		Isolates: [2]bool{rule.Ingress: true},
	}
	return []Change{
		{
			Command: "kubectl label pod dns role=frontend --overwrite",
			Apply:   func(s *policy.Snapshot) { label(s, "default", "dns", "role", "frontend") },
		},
		{
			Command: "kubectl apply -f default-deny-ingress.yaml",
			Apply:   func(s *policy.Snapshot) { s.UpsertPolicy(deny) },
		},
	}
}

// TiersChanges returns the changes for example.Tiers, whose objects are in the set. The first
// change deletes the ClusterNetworkPolicy with the name production, and the second change adds it
// again.
func TiersChanges(set *inventory.Set) []Change {
	for _, p := range set.Policies {
		if p.Scope == "" && p.Name == "production" {
			return deleteAndRestore(p.Policy)
		}
	}
	return nil
}

// label sets a label of the pod with the given name.
func label(s *policy.Snapshot, namespace, name, key, value string) {
	for _, p := range s.Pods() {
		if p.Namespace == namespace && p.Name == name {
			p.Labels = p.Labels.With(key, value)
			s.UpsertPod(&p)
		}
	}
}

// defaultChanges returns two changes. The first change deletes a policy, and the second change adds
// the same policy again. For each policy, defaultChanges counts the denials to which the policy
// contributes, on both sides of all connections. It chooses the policy with the highest count. If
// the policies deny no connection, it returns nil.
func defaultChanges(s *policy.Snapshot, attempts []*wire.Attempt) []Change {
	denials := map[string]int{}
	for _, a := range attempts {
		for _, side := range []*report.Side{&a.Egress, &a.Ingress} {
			for _, name := range deniedBy(side) {
				denials[name]++
			}
		}
	}
	var most *policy.Policy
	for _, p := range s.Policies() {
		if n := denials[p.String()]; n > 0 && (most == nil || n > denials[most.String()]) {
			most = p
		}
	}
	if most == nil {
		return nil
	}
	return deleteAndRestore(most)
}

// deniedBy returns the names of the policies that deny a connection on a side: the policy with the
// rule that denies it, or the policies that isolate the pod.
func deniedBy(s *report.Side) []string {
	switch {
	case wire.Allows(s):
		return nil
	case s.Policy != nil:
		return []string{*s.Policy}
	}
	return s.IsolatedBy
}

// deleteAndRestore returns two changes, which delete a policy and add it again.
func deleteAndRestore(p *policy.Policy) []Change {
	command := fmt.Sprintf("kubectl delete networkpolicy %s --namespace %s", p.Name, p.Scope)
	if p.Scope == "" {
		command = "kubectl delete clusternetworkpolicy " + p.Name
	}
	return []Change{
		{Command: command, Apply: func(s *policy.Snapshot) { s.DeletePolicy(p.Scope, p.Name) }},
		{
			Command: fmt.Sprintf("kubectl apply -f %s.yaml", p.Name),
			Apply:   func(s *policy.Snapshot) { s.UpsertPolicy(p) },
		},
	}
}

// change makes the changes one after the other. After each change, it tries all connections
// again.
func (d *demo) change(ctx context.Context) error {
	before := d.report.Rounds[0].Attempts
	if len(d.Changes) == 0 {
		d.Changes = defaultChanges(d.topology.Snapshot, before)
	}
	if len(d.Changes) == 0 {
		return nil
	}
	if !d.Steps {
		d.page.Heading("Policies change while the dataplane runs")
	}
	for _, c := range d.Changes {
		d.page.Command(c.Command)
		c.Apply(d.topology.Snapshot)
		round, err := d.changed(ctx, c.Command, before)
		if err != nil {
			return err
		}
		d.report.Rounds = append(d.report.Rounds, round)
		if !d.Steps {
			d.page.Differences(before, round.Attempts, d.Ports)
			d.page.Open(round)
		}
		before = round.Attempts
	}
	return nil
}

// changed publishes one change while some connections are open. Then it tries all connections
// and returns the results. The `before` parameter contains the attempts of the previous round.
// The `command` parameter is the command for the change.
func (d *demo) changed(ctx context.Context, command string, before []*wire.Attempt) (*wire.Round, error) {
	open, err := d.open(ctx, before)
	defer func() { wire.CloseAll(open) }()
	if err != nil {
		return nil, err
	}
	wire.ForgetPauses(open)
	published := time.Now()
	generation, enforced, err := d.enforce(ctx, published)
	if err != nil {
		return nil, err
	}
	if err := wire.Observe(ctx, open); err != nil {
		return nil, err
	}
	round, err := d.round(ctx, command)
	if err != nil {
		return nil, err
	}
	if err := wire.Conclude(ctx, open, published, enforced); err != nil {
		return nil, err
	}
	round.Generation, round.Enforced = generation, enforced.Nanoseconds()
	round.AddOpen(open)
	return round, nil
}

// enforce publishes the tree, and waits until the dataplane enforces it. It returns the generation
// of the tree, and the time that has passed since `published`.
func (d *demo) enforce(ctx context.Context, published time.Time) (generation uint64, took time.Duration, err error) {
	err = d.page.Step("publishing the change", func(func(string)) (string, error) {
		var err error
		if generation, err = d.trees.Publish(d.builder); err != nil {
			return "", err
		}
		if _, err := d.plane.enforces(ctx, generation); err != nil {
			return "", err
		}
		took = time.Since(published)
		return fmt.Sprintf("published as generation %d; the dataplane enforces it", generation), nil
	})
	return generation, took, err
}

// open opens connections that stay open during the change. The new policies deny some of these
// connections and allow others. The `before` parameter contains the attempts of the previous
// round. If the new policies deny no connection that succeeded in the previous round, open
// opens no connections.
func (d *demo) open(ctx context.Context, before []*wire.Attempt) (open []*wire.Open, err error) {
	after, err := d.preview()
	if err != nil {
		return nil, err
	}
	picked := wire.PickOpen(before, after)
	if len(picked) == 0 {
		return nil, nil
	}
	err = d.page.Step("opening connections that stay open", func(func(string)) (string, error) {
		var err error
		if open, err = wire.OpenAll(ctx, picked); err != nil {
			return "", err
		}
		cut := 0
		for _, a := range picked {
			if a.Verdict != rule.Allow {
				cut++
			}
		}
		return fmt.Sprintf("opened %s that stay open: the change must cut %d of them", page.Count(uint64(len(open)), "connection"), cut), nil
	})
	return open, err
}

// preview evaluates every connection with the next tree, before the dataplane receives this
// tree.
func (d *demo) preview() (attempts []*wire.Attempt, err error) {
	if err := d.compile(); err != nil {
		return nil, err
	}
	dir, err := lab.NewStateDir()
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	trees, err := statedir.NewPublisher(dir.Path())
	if err != nil {
		return nil, err
	}
	if _, err := trees.Publish(d.builder); err != nil {
		return nil, err
	}
	attempts = wire.Attempts(d.topology.Ends, d.Ports)
	return attempts, wire.Evaluate(current(dir.Path()), attempts)
}
