package build

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// check returns an error if a delta is invalid or conflicts with the current rules. It does not
// change the builder.
func (b *Builder) check(d rule.Delta) error {
	if err := errors.Join(checkPrograms(d.Programs), checkAddresses(d.Addresses)); err != nil {
		return err
	}
	programs := make(map[rule.ProgramID]*rule.Program, len(d.Programs))
	for _, c := range d.Programs {
		if _, twice := programs[c.ID]; twice {
			return fmt.Errorf("program %d: changed twice in one delta", c.ID)
		}
		programs[c.ID] = c.Program
	}
	pods := make(map[rule.PodID]bool, len(d.Pods))
	// programUses contains, for each program, the number of uses that the delta adds. The number
	// is negative if the delta removes more uses than it adds.
	programUses := map[rule.ProgramID]int{}
	for _, c := range d.Pods {
		if _, twice := pods[c.ID]; twice {
			return fmt.Errorf("pod %d: changed twice in one delta", c.ID)
		}
		pods[c.ID] = c.Pod != nil
		if old := b.pods[c.ID]; old != nil {
			for _, id := range old.programs {
				programUses[id]--
			}
		}
		if c.Pod == nil {
			continue
		}
		for i, id := range c.Pod.Programs() {
			if id == 0 {
				continue
			}
			programUses[id]++
			if err := b.checkUse(id, rule.Tier(i%rule.Tiers), programs); err != nil {
				return fmt.Errorf("pod %d (%s): %w", c.ID, c.Pod.Name, err)
			}
		}
	}
	for id, program := range programs {
		if p := b.programs[id]; program == nil && p != nil && p.uses+programUses[id] > 0 {
			return fmt.Errorf("program %d: removed while a pod uses it", id)
		}
	}
	podUses := map[rule.PodID]int{}
	for _, c := range d.Addresses {
		if value := b.table(c.Addr).get(format.AddressOf(c.Addr)); value&format.OwnerMask == format.OwnerLocal {
			podUses[b.endpoints[value>>format.OwnerBits].pod]--
		}
		if c.Owner.Kind != rule.LocalPod {
			continue
		}
		podUses[c.Owner.Pod]++
		exists, changed := pods[c.Owner.Pod]
		if !changed {
			exists = b.pods[c.Owner.Pod] != nil
		}
		if !exists {
			return fmt.Errorf("address %s: unknown pod %d", c.Addr, c.Owner.Pod)
		}
	}
	for id, kept := range pods {
		if p := b.pods[id]; !kept && p != nil && p.uses+podUses[id] > 0 {
			return fmt.Errorf("pod %d (%s): removed while it has an address", id, p.name)
		}
	}
	return nil
}

// checkUse returns an error if the program will not exist after the delta, or if its tier differs
// from the `tier` parameter. The `programs` map contains the programs that the delta changes. The
// value is nil for a program that the delta removes.
func (b *Builder) checkUse(id rule.ProgramID, tier rule.Tier, programs map[rule.ProgramID]*rule.Program) error {
	program, changed := programs[id]
	var actual rule.Tier
	switch old := b.programs[id]; {
	case program != nil:
		actual = program.Tier
	case changed || old == nil:
		return fmt.Errorf("unknown program %d", id)
	default:
		actual = rule.Tier(old.words[format.ProgramTier])
	}
	if actual != tier {
		return fmt.Errorf("program %d belongs to the tier %s, want %s", id, actual, tier)
	}
	return nil
}

func checkAddresses(changes []rule.AddressChange) error {
	seen := make(map[netip.Addr]struct{}, len(changes))
	for _, c := range changes {
		if !c.Addr.IsValid() || c.Addr.Zone() != "" {
			return fmt.Errorf("address %q: want an IP address without zone", c.Addr)
		}
		if _, twice := seen[c.Addr]; twice {
			return fmt.Errorf("address %s: changed twice in one delta", c.Addr)
		}
		seen[c.Addr] = struct{}{}
		switch c.Owner.Kind {
		case rule.NoOwner, rule.ThisNode:
		case rule.RemotePod:
			if c.Owner.Class == 0 {
				return fmt.Errorf("address %s: class 0 is not valid for a remote pod, use no owner instead", c.Addr)
			}
			fallthrough
		case rule.LocalPod:
			if c.Owner.Class > format.MaxClass {
				return fmt.Errorf("address %s: class %d is above %d", c.Addr, c.Owner.Class, format.MaxClass)
			}
		default:
			return fmt.Errorf("address %s: unknown kind of owner %d", c.Addr, c.Owner.Kind)
		}
	}
	return nil
}

func checkPrograms(changes []rule.ProgramChange) error {
	for _, c := range changes {
		if c.ID == 0 {
			return errors.New("program 0 is reserved for no program")
		}
		if c.Program == nil {
			continue
		}
		if err := checkProgram(c.Program); err != nil {
			return fmt.Errorf("program %d: %w", c.ID, err)
		}
	}
	return nil
}

func checkProgram(p *rule.Program) error {
	switch {
	case p.Tier >= rule.Tiers:
		return fmt.Errorf("unknown tier %d", p.Tier)
	case p.Tier == rule.NetworkPolicyTier && len(p.IsolatedBy) == 0:
		return errors.New("no isolating policy")
	case p.Tier != rule.NetworkPolicyTier && len(p.IsolatedBy) > 0:
		return fmt.Errorf("isolating policies in the tier %s", p.Tier)
	case len(p.Rules) > format.MaxRules:
		return fmt.Errorf("%d rules, the limit is %d", len(p.Rules), format.MaxRules)
	}
	for _, r := range p.Rules {
		if err := checkRule(&r, p.Tier); err != nil {
			return fmt.Errorf("rule %s[%d]: %w", r.Policy, r.Index, err)
		}
	}
	return nil
}

func checkRule(r *rule.Rule, tier rule.Tier) error {
	switch r.Action {
	case rule.ActionAccept, rule.ActionDeny:
	case rule.ActionPass:
		if tier == rule.NetworkPolicyTier {
			return errors.New("a rule of a NetworkPolicy cannot have action Pass")
		}
	default:
		return fmt.Errorf("unknown action %d", r.Action)
	}
	if r.Index < 0 || r.Index > 1<<31-1 {
		return errors.New("index out of range")
	}
	for _, m := range r.Matches {
		for _, p := range m.Ports {
			if !flow.Protocol(p.Protocol).HasPorts() {
				return fmt.Errorf("protocol %s has no ports", flow.Protocol(p.Protocol))
			}
			if p.First > p.Last {
				return fmt.Errorf("invalid range of ports from %d to %d", p.First, p.Last)
			}
		}
		for i, class := range m.Classes {
			if class == 0 || class > format.MaxClass || i > 0 && class <= m.Classes[i-1] {
				return fmt.Errorf("class %d: want ascending classes from 1 to %d", class, format.MaxClass)
			}
		}
		for _, block := range m.Blocks {
			if err := checkBlock(block); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkBlock(b rule.Block) error {
	if !b.Prefix.IsValid() || b.Prefix != b.Prefix.Masked() {
		return fmt.Errorf("block %s: want a masked prefix", b.Prefix)
	}
	for _, except := range b.Excepts {
		if !except.IsValid() || except != except.Masked() {
			return fmt.Errorf("block %s: except %s: want a masked prefix", b.Prefix, except)
		}
		if except.Bits() < b.Prefix.Bits() || !b.Prefix.Contains(except.Addr()) {
			return fmt.Errorf("block %s: except %s is outside the block", b.Prefix, except)
		}
	}
	return nil
}
