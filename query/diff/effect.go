package diff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// effect is a change of the verdict of some ports, and its causes. Effects with the same key are
// equal.
type effect struct {
	gain   bool
	ports  []string
	causes []Cause
	key    string
}

// effectKey identifies the ports between two ends whose verdict changes because of the same causes.
// A cause is nil if the side is not responsible for the change.
type effectKey struct {
	gain            bool
	egress, ingress *Cause
}

// interval is a range of ports, including `first` and excluding `end`.
type interval struct{ first, end uint32 }

// intervals contains sorted ranges of ports for each protocol in `protocols`.
type intervals [len(protocols)][]interval

// effects returns the effects on the flows between two ends. The functions are those of the egress
// side and of the ingress side. The result is a number of c.lists.
func (c *comparison) effects(egress, ingress *function) int {
	key := [2]*function{egress, ingress}
	if list, ok := c.effectsOf[key]; ok {
		return list
	}
	found := map[effectKey]*intervals{}
	for table := range protocols {
		c.mergeSpans(egress.spans[table], ingress.spans[table], func(first, end uint32, e, i *span) {
			before, after := e.before.Verdict&i.before.Verdict, e.after.Verdict&i.after.Verdict
			if before == after {
				return
			}
			key := effectKey{after == rule.Allow, c.cause(rule.Egress, e, after), c.cause(rule.Ingress, i, after)}
			if found[key] == nil {
				found[key] = &intervals{}
			}
			found[key].add(table, first, end)
		})
	}
	list := c.list(found)
	c.effectsOf[key] = list
	return list
}

// mergeSpans calls a function for each interval of ports in which neither side changes.
func (c *comparison) mergeSpans(egress, ingress []span, f func(first, end uint32, e, i *span)) {
	for e, i := 0, 0; e < len(egress) && i < len(ingress); {
		endE, endI := endOf(egress, e), endOf(ingress, i)
		f(max(egress[e].first, ingress[i].first), min(endE, endI), &egress[e], &ingress[i])
		if endE <= endI {
			e++
		}
		if endI <= endE {
			i++
		}
	}
}

func endOf(spans []span, i int) uint32 {
	if i+1 < len(spans) {
		return spans[i+1].first
	}
	return 1 << 16
}

func (in *intervals) add(table int, first, end uint32) {
	list := in[table]
	if last := len(list) - 1; last >= 0 && list[last].end == first {
		list[last].end = end
		return
	}
	in[table] = append(list, interval{first, end})
}

// list returns the number of a list of effects.
func (c *comparison) list(found map[effectKey]*intervals) int {
	var effects []*effect
	for key, ports := range found {
		e := &effect{gain: key.gain, ports: ports.texts()}
		for _, cause := range []*Cause{key.egress, key.ingress} {
			if cause != nil {
				e.causes = append(e.causes, *cause)
			}
		}
		e.key = fmt.Sprint(e.gain, e.causes, e.ports)
		effects = append(effects, c.intern(e))
	}
	slices.SortFunc(effects, func(a, b *effect) int { return cmp.Compare(a.key, b.key) })
	return c.listOf(effects)
}

// intern returns the stored effect that is equal to an effect.
func (c *comparison) intern(e *effect) *effect {
	if stored := c.interned[e.key]; stored != nil {
		return stored
	}
	c.interned[e.key] = e
	return e
}

// texts describes the ports, such as "TCP 80". If this is shorter, it describes the ports that are
// missing. See Change.Ports.
func (in *intervals) texts() []string {
	ports, missing := in.list(), in.complement().list()
	switch {
	case len(missing) == 0:
		return []string{EveryPort}
	case len(missing) < len(ports)-1:
		return []string{EveryPort + " except " + strings.Join(missing, ", ")}
	default:
		return ports
	}
}

func (in *intervals) list() (out []string) {
	for table, list := range in {
		for _, r := range list {
			if protocols[table] == flow.ICMP {
				out = append(out, WithoutPorts)
				continue
			}
			out = append(out, rule.Ports{Protocol: uint8(protocols[table]), First: uint16(r.first), Last: uint16(r.end - 1)}.String())
		}
	}
	return out
}

// complement returns all other ports.
func (in *intervals) complement() *intervals {
	out := &intervals{}
	for table, list := range in {
		next := uint32(0)
		for _, r := range list {
			if r.first > next {
				out[table] = append(out[table], interval{next, r.first})
			}
			next = r.end
		}
		if next < 1<<16 {
			out[table] = append(out[table], interval{next, 1 << 16})
		}
	}
	return out
}
