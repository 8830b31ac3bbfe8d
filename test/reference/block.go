package reference

import (
	"net/netip"
	"regexp"

	networkingv1 "k8s.io/api/networking/v1"
)

// brokenBlock reports whether a block is invalid and therefore allows nothing (S60). An except may
// be equal to the cidr. Such a block is valid and contains no address.
func brokenBlock(block *networkingv1.IPBlock) bool {
	cidr, ok := parseCIDR(block.CIDR)
	if !ok {
		return true
	}
	for _, text := range block.Except {
		except, ok := parseCIDR(text)
		if !ok || except.Bits() < cidr.Bits() || !cidr.Contains(except.Addr()) {
			return true
		}
	}
	return false
}

// blockContains reports whether a valid block contains an address: the address is in the cidr,
// but in none of the excepts (S24, S25).
func blockContains(block *networkingv1.IPBlock, address netip.Addr) bool {
	if cidr, _ := parseCIDR(block.CIDR); !cidr.Contains(address) {
		return false
	}
	for _, text := range block.Except {
		if except, _ := parseCIDR(text); except.Contains(address) {
			return false
		}
	}
	return true
}

// leadingZero matches the leading zeros of a decimal number in an address or in a prefix
// length.
var leadingZero = regexp.MustCompile(`(^|[./])0+([0-9])`)

// parseCIDR parses a CIDR. Host bits and leading zeros are allowed, such as in 010.0.0.5/8.
// IPv4-mapped IPv6 addresses are invalid, because their family is ambiguous.
func parseCIDR(text string) (netip.Prefix, bool) {
	cidr, err := netip.ParsePrefix(leadingZero.ReplaceAllString(text, "$1$2"))
	if err != nil || cidr.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return cidr.Masked(), true
}
