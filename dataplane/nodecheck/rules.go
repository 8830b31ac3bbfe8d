package nodecheck

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"

	"github.com/sluicenet/sluice/dataplane/report"
)

// ownTable is the name of the tables of Sluice.
const ownTable = "sluice"

// rules describes the nftables rules of other programs.
type rules struct {
	tables []string
	// `marks` contains the chains that change Sluice's mark bits. `untracked` contains the
	// chains that disable connection tracking. `flowtables` contains the flowtables, which
	// forward packets past the rules.
	marks, untracked, flowtables []string
}

// otherRules checks the nftables rules of other programs.
func (n *node) otherRules() []report.Check {
	const name = "other rules"
	found, err := n.readRules()
	if err != nil {
		return []report.Check{{Name: name, Result: report.CheckSkipped, Seen: err.Error(), Fix: "read them with: nft list ruleset"}}
	}
	seen := "no nftables tables of other programs"
	if len(found.tables) > 0 {
		seen = "tables " + strings.Join(found.tables, ", ")
	}
	out := []report.Check{check(name, report.CheckOK, seen, "")}
	for _, problem := range []struct {
		name   string
		chains []string
		fix    string
	}{
		{"mark bits", found.marks, fmt.Sprintf("these chains change bits %#x: choose other bits with spec.markMask of the Enforcer", n.Marks.Mask)},
		{"untracked packets", found.untracked, "do not disable connection tracking (notrack) for packets of pods: each such packet is evaluated separately"},
		{"flowtables", found.flowtables, "do not add flows of pods to these flowtables: their packets bypass the rules of Sluice"},
	} {
		if len(problem.chains) == 0 {
			out = append(out, check(problem.name, report.CheckOK, "not used by the rules of other programs", ""))
		} else {
			out = append(out, check(problem.name, report.CheckWarning, strings.Join(problem.chains, ", "), problem.fix))
		}
	}
	return out
}

func (n *node) readRules() (*rules, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("opening nftables: %w", err)
	}
	tables, err := c.ListTables()
	if err != nil {
		return nil, fmt.Errorf("listing nftables tables: %w", err)
	}
	chains, err := c.ListChains()
	if err != nil {
		return nil, fmt.Errorf("listing nftables chains: %w", err)
	}
	out := &rules{}
	for _, t := range tables {
		if t.Name == ownTable {
			continue
		}
		out.tables = append(out.tables, nameOf(t))
		if flowtables, err := c.ListFlowtables(t); err == nil { // Old kernels have no flowtables.
			for _, f := range flowtables {
				out.flowtables = append(out.flowtables, nameOf(t)+" "+f.Name)
			}
		}
	}
	for _, chain := range chains {
		if chain.Table.Name == ownTable {
			continue
		}
		content, err := c.GetRules(chain.Table, chain)
		if err != nil {
			return nil, fmt.Errorf("listing rules of %s %s: %w", nameOf(chain.Table), chain.Name, err)
		}
		name := nameOf(chain.Table) + " " + chain.Name
		if slices.ContainsFunc(content, func(r *nftables.Rule) bool { return bitsSet(r.Exprs)&n.Marks.Mask != 0 }) {
			out.marks = append(out.marks, name)
		}
		if slices.ContainsFunc(content, disablesTracking) {
			out.untracked = append(out.untracked, name)
		}
	}
	return out, nil
}

func disablesTracking(r *nftables.Rule) bool {
	return slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
		switch e := e.(type) {
		case *expr.Notrack:
			return true
		case *expr.Target:
			return e.Name == "CT" || e.Name == "NOTRACK"
		}
		return false
	})
}

// everyBit contains the bits that a rule changes if it replaces the whole mark.
const everyBit = ^uint32(0)

// register describes a mark in a register of a rule: whether it is a connection mark, and
// which of its bits the rule has changed.
type register struct {
	isConnectionMark bool
	changed          uint32
}

// bitsSet returns the bits of the packet mark and of the connection mark that a rule can change.
func bitsSet(rule []expr.Any) uint32 {
	var bits uint32
	registers := map[uint32]register{} // The map contains only the registers that contain a mark.
	var last uint32                    // The register that the rule changed last.
	read := func(number uint32, isMark, isConnectionMark bool) {
		delete(registers, number)
		if isMark {
			registers[number] = register{isConnectionMark: isConnectionMark}
		}
		last = number
	}
	write := func(number uint32, isMark, isConnectionMark bool) {
		content, known := registers[number]
		switch {
		case !isMark:
		case known && content.isConnectionMark == isConnectionMark:
			bits |= content.changed
		default:
			bits = everyBit
		}
	}
	for _, e := range rule {
		switch e := e.(type) {
		case *expr.Meta:
			if e.SourceRegister {
				write(e.Register, e.Key == expr.MetaKeyMARK, false)
			} else {
				read(e.Register, e.Key == expr.MetaKeyMARK, false)
			}
		case *expr.Ct:
			// The library does not parse the source register of a ct statement, so Register
			// is 0. The statement uses the register that the rule changed last.
			if e.Register == 0 {
				write(last, e.Key == expr.CtKeyMARK, true)
			} else {
				read(e.Register, e.Key == expr.CtKeyMARK, true)
			}
		case *expr.Bitwise:
			content, known := registers[e.SourceRegister]
			delete(registers, e.DestRegister)
			if last = e.DestRegister; known {
				content.changed |= bitsOf(e)
				registers[e.DestRegister] = content
			}
		case *expr.Immediate:
			delete(registers, e.Register)
			last = e.Register
		case *expr.Target:
			bits |= targetBits(e)
		}
	}
	return bits
}

// bitsOf returns the bits of a register that a bitwise expression can change. The
// expression computes "(register & Mask) ^ Xor".
func bitsOf(e *expr.Bitwise) uint32 {
	const size = 4
	if len(e.Mask) != size || len(e.Xor) != size {
		return everyBit
	}
	return ^binary.NativeEndian.Uint32(e.Mask) | binary.NativeEndian.Uint32(e.Xor)
}

// targetBits returns the bits that the xtables target MARK or CONNMARK can change. Both write
// "(mark & ^mask) ^ value". Revision 2 of MARK and revision 1 of CONNMARK begin with value and
// mask (linux/netfilter/xt_mark.h, linux/netfilter/xt_connmark.h).
func targetBits(e *expr.Target) uint32 {
	const size = 8
	if e.Name != "MARK" && e.Name != "CONNMARK" {
		return 0
	}
	info, ok := e.Info.(*xt.Unknown)
	if !ok || len(*info) < size {
		return everyBit
	}
	return binary.NativeEndian.Uint32((*info)[0:]) | binary.NativeEndian.Uint32((*info)[4:])
}

// nameOf returns the family and the name of a table, such as "ip nat".
func nameOf(t *nftables.Table) string {
	family := map[nftables.TableFamily]string{
		nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6",
		nftables.TableFamilyARP: "arp", nftables.TableFamilyNetdev: "netdev", nftables.TableFamilyBridge: "bridge",
	}[t.Family]
	return strings.TrimSpace(family + " " + t.Name)
}
