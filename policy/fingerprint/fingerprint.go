// Package fingerprint identifies rules of policies by their content. The agent adds the fingerprint
// of each rule to the tree, so that the counter of a rule continues when a new tree arrives. Commands
// compute the same fingerprints from the objects of a cluster to find the counters of a rule.
//
// A fingerprint depends on the name of the policy, on the direction and on what the rule matches.
// It does not depend on the position of the rule, or on the UID of the policy. So if a rule is moved
// within its policy, or if the policy is deleted and created again, the rule keeps its fingerprint.
// If the rule is edited, its fingerprint changes.
package fingerprint

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// Rules returns the fingerprints of a policy's rules for a direction. The result has the same order
// as p.Rules(d). If a policy contains two equal rules, their fingerprints differ. A fingerprint is
// never 0.
func Rules(p *policy.Policy, d rule.Direction) []uint64 {
	rules := p.Rules(d)
	out := make([]uint64, len(rules))
	// seen contains the number of equal rules that precede a rule.
	seen := map[uint64]uint64{}
	for i := range rules {
		content := sum(p, &rules[i], 0)
		out[i] = content
		if n := seen[content]; n > 0 {
			out[i] = sum(p, &rules[i], n)
		}
		seen[content]++
	}
	return out
}

// writer writes fields into a hash, so that two lists of fields with different contents never write
// the same bytes.
type writer struct{ hash.Hash }

func (w writer) number(n uint64) { w.Write(binary.BigEndian.AppendUint64(nil, n)) }

func (w writer) text(text string) {
	w.number(uint64(len(text)))
	w.Write([]byte(text))
}

// sum returns the fingerprint of a rule. `preceding` is the number of equal rules that precede it.
func sum(p *policy.Policy, r *policy.Rule, preceding uint64) uint64 {
	w := writer{sha256.New()}
	w.number(uint64(p.Tier))
	w.text(p.String())
	w.number(uint64(r.Direction))
	w.number(uint64(r.Action))
	w.number(preceding)
	w.text(fmt.Sprint(r.Invalid))
	w.number(uint64(len(r.Peers)))
	for i := range r.Peers {
		w.text(peer(&r.Peers[i]))
	}
	for _, port := range r.Ports {
		w.text(fmt.Sprintf("%d %s %d-%d", port.Protocol, port.Name, port.First, port.Last))
	}
	return max(1, binary.BigEndian.Uint64(w.Sum(nil)))
}

// peer returns a text that identifies the content of a peer.
func peer(p *policy.Peer) string {
	switch {
	case p.Invalid:
		return "invalid"
	case p.Block != nil:
		return "block " + p.Block.Key()
	case p.OfNodes:
		return "nodes " + p.Nodes.String()
	default:
		return fmt.Sprintf("pods %s in %q or %s", p.Pods, p.Namespace, p.Namespaces)
	}
}
