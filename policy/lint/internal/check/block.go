package check

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"sort"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// podAddress is an address of a pod.
type podAddress struct {
	addr  netip.Addr
	pod   *policy.Pod
	Group *Group
}

// searchWork is the cost of one binary search in the addresses of a large cluster, in the unit of
// Pass.budget.
const searchWork = 300

// InBlock returns an iterator over parts of the sorted list of addresses. Together, the parts
// contain exactly the addresses in the block.
func (p *Pass) InBlock(b *policy.Block) iter.Seq[[]podAddress] {
	return func(yield func([]podAddress) bool) {
		in := p.inPrefix(b.CIDR.Prefix, span{0, len(p.addresses)})
		next := in.from
		for _, except := range p.inExcepts(b, in) {
			if except.from > next && !yield(p.addresses[next:except.from]) {
				return
			}
			next = max(next, except.to)
		}
		if next < in.to {
			yield(p.addresses[next:in.to])
		}
	}
}

// span is a part of the list of addresses. It begins at the index `from` and ends before the index
// `to`.
type span struct{ from, to int }

// inPrefix returns the addresses of a span that a prefix contains.
func (p *Pass) inPrefix(prefix netip.Prefix, s span) span {
	if !p.Spend(searchWork) {
		return span{}
	}
	from, _ := slices.BinarySearchFunc(p.addresses[s.from:s.to], prefix.Addr(), func(a podAddress, target netip.Addr) int { return a.addr.Compare(target) })
	from += s.from
	n := sort.Search(s.to-from, func(i int) bool { return !prefix.Contains(p.addresses[from+i].addr) })
	return span{from, from + n}
}

// inExcepts returns the parts of a span that are in the excepts of the block: one part for each
// except that contains an address. The parts are sorted by their first address, and can overlap.
func (p *Pass) inExcepts(b *policy.Block, in span) []span {
	if in.from == in.to {
		return nil
	}
	var out []span
	for _, except := range b.Except {
		if s := p.inPrefix(except.Prefix, in); s.from < s.to {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	return out
}

// PodsInBlock returns the addresses of pods in the block.
func (p *Pass) PodsInBlock(b *policy.Block) (out sample.Pods) {
	for part := range p.InBlock(b) {
		for i := range part[:min(len(part), sample.Shown)] {
			out.Add(part[i].pod)
		}
		out.Count += max(0, len(part)-sample.Shown)
	}
	return out
}

// WholeExcept returns the index of an except that covers the whole block, or -1 if no except does.
// The check except-equals-cidr reports such a block, and the other checks for blocks skip it.
func WholeExcept(b *policy.Block) int {
	if b == nil {
		return -1
	}
	return slices.IndexFunc(b.Except, func(c policy.CIDR) bool { return c.Prefix == b.CIDR.Prefix })
}

// ReportBlock reports a block that contains pods. It uses the parameters `message` and `fix` only
// if the block has more than one address.
func (p *Pass) ReportBlock(at Place, cidr policy.CIDR, pods sample.Pods, message, fix string) {
	if cidr.Prefix.IsSingleIP() {
		p.Report(at, Warning, "select the pod by its labels; a new pod has another address",
			"%s is the address of pod %s", cidr.Prefix.Addr(), &pods)
		return
	}
	if f := p.Find(at, Note); f != nil {
		f.Message, f.Fix = message, fix
		p.Detail(f, "%s: %s", sample.PodCount(pods.Count), &pods)
	}
}
