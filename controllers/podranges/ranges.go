// Package podranges describes the address ranges of a cluster's pods. The operator, which
// watches all Nodes, publishes the ranges in a ConfigMap. The agents read this ConfigMap, so
// they need to watch only their own Node.
package podranges

import (
	"net/netip"
	"strings"

	"go4.org/netipx"
)

const (
	// Name is the name of the ConfigMap in the namespace of the operator.
	Name = "sluice-pod-ranges"
	// Key is the key in the ConfigMap whose value contains the ranges, as formatted by
	// Format.
	Key = "ranges"
)

// maxRanges is the maximum number of ranges of one address family in a merged list.
const maxRanges = 32

// Merge returns the smallest list of prefixes that contains all given prefixes. IPv4 prefixes
// come first. The list has at most 32 prefixes of each address family. If there would be more,
// Merge shortens the longest prefixes of the family. In this case, the result also contains
// addresses that are in no given prefix. Merge ignores invalid prefixes and prefixes of length
// 0.
func Merge(all []netip.Prefix) []netip.Prefix {
	out := []netip.Prefix{}
	for _, is4 := range []bool{true, false} {
		merged := union(all, is4, 128)
		for bits := 127; len(merged) > maxRanges; bits-- {
			merged = union(all, is4, bits)
		}
		out = append(out, merged...)
	}
	return out
}

// union shortens the given prefixes of one address family to at most the given number of bits.
// It returns the smallest number of prefixes that contain the shortened prefixes.
func union(all []netip.Prefix, is4 bool, bits int) []netip.Prefix {
	var builder netipx.IPSetBuilder
	for _, p := range all {
		if p.IsValid() && p.Bits() > 0 && p.Addr().Is4() == is4 {
			builder.AddPrefix(netip.PrefixFrom(p.Addr(), min(p.Bits(), bits)).Masked())
		}
	}
	// IPSet returns an error only after a call with an invalid argument.
	set, err := builder.IPSet()
	if err != nil {
		return nil
	}
	return set.Prefixes()
}

// Parse returns the valid prefixes in a list of CIDRs, such as spec.podCIDRs of a Node.
func Parse(list []string) (out []netip.Prefix) {
	for _, text := range list {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// Format returns the ranges as CIDRs, one on each line. To parse the result, call
// strings.Fields and Parse.
func Format(ranges []netip.Prefix) string {
	var b strings.Builder
	for _, p := range ranges {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}
