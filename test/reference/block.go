package reference

import (
	"net/netip"
	"regexp"

	networkingv1 "k8s.io/api/networking/v1"
)

// brokenBlock: S60. An except may equal its cidr; then nothing is left.
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

// blockContains: S24, S25. The block is not broken.
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

// leadingZero is in front of another digit and behind none.
var leadingZero = regexp.MustCompile(`(^|[./])0+([0-9])`)

// parseCIDR drops host bits and the leading zeros of decimal numbers. A mapped
// IPv4 address is refused: nobody can say which family is meant.
func parseCIDR(text string) (netip.Prefix, bool) {
	cidr, err := netip.ParsePrefix(leadingZero.ReplaceAllString(text, "$1$2"))
	if err != nil || cidr.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return cidr.Masked(), true
}
