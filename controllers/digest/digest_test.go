package digest_test

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicenet/sluice/controllers/digest"
	"github.com/sluicenet/sluice/policy"
)

func addresses(list ...string) (out []netip.Addr) {
	for _, text := range list {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

// TestOf checks which changes of a policy and of its pods change the digest.
func TestOf(t *testing.T) {
	web := &policy.Policy{UID: "p1", Generation: 3}
	pods := []*policy.Pod{
		{UID: "a", Addresses: addresses("10.0.0.1", "fd00::1")},
		{UID: "b", Addresses: addresses("10.0.0.2")},
	}
	want := digest.Of(web, pods)
	reversed := slices.Clone(pods)
	slices.Reverse(reversed)
	for name, c := range map[string]struct {
		policy *policy.Policy
		pods   []*policy.Pod
		same   bool
	}{
		"other order":                 {web, reversed, true},
		"a pod without an address":    {web, append(slices.Clone(pods), &policy.Pod{UID: "c"}), true},
		"a pod with an announcement":  {web, append(slices.Clone(pods), &policy.Pod{UID: "c", Announced: true, Addresses: addresses("10.0.0.3")}), true},
		"a new generation":            {&policy.Policy{UID: "p1", Generation: 4}, pods, false},
		"a new policy":                {&policy.Policy{UID: "p2", Generation: 3}, pods, false},
		"a pod less":                  {web, pods[:1], false},
		"another pod":                 {web, []*policy.Pod{pods[0], {UID: "c", Addresses: addresses("10.0.0.2")}}, false},
		"another address":             {web, []*policy.Pod{pods[0], {UID: "b", Addresses: addresses("10.0.0.3")}}, false},
		"an address of the other pod": {web, []*policy.Pod{{UID: "a", Addresses: addresses("10.0.0.1")}, {UID: "b", Addresses: addresses("fd00::1", "10.0.0.2")}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := digest.Of(c.policy, c.pods); (got == want) != c.same {
				t.Errorf("digest %x, original %x, want them to be equal: %t", got, want, c.same)
			}
		})
	}
}

// TestContains checks that a joined list contains exactly the digests that were joined.
func TestContains(t *testing.T) {
	random := rapid.Custom(func(t *rapid.T) digest.Digest {
		return digest.Digest{0: rapid.ByteMax(3).Draw(t, "first"), digest.Size - 1: rapid.ByteMax(3).Draw(t, "last")}
	})
	rapid.Check(t, func(t *rapid.T) {
		list, other := rapid.SliceOf(random).Draw(t, "list"), random.Draw(t, "other")
		joined := digest.Join(list)
		if got, want := digest.Contains(joined, other), slices.Contains(list, other); got != want {
			t.Fatalf("Contains(%x, %x) = %t, want %t", joined, other, got, want)
		}
		for _, d := range list {
			if !digest.Contains(joined, d) {
				t.Fatalf("Contains(%x, %x) = false", joined, d)
			}
		}
	})
}
