// Package claims determines which of several claimants owns a key.
package claims

import (
	"iter"
	"maps"
	"slices"
)

// Claims maps keys to claimants. Several claimants can claim the same key.
type Claims[K, V comparable] struct {
	// owners contains each claimed key with the claimant that owns the key.
	owners map[K]V
	// contested contains only keys that several claimants claim. It lists all claimants of the
	// key.
	contested map[K][]V
	// compare returns the order of the claims of two claimants to a key. The greatest claim wins.
	compare func(K, V, V) int
}

// New returns an empty Claims. The function `compare` returns the order of the claims of two
// claimants to a key: a negative number, 0 or a positive number, as in cmp.Compare. The claimant
// with the greatest claim owns the key.
func New[K, V comparable](compare func(K, V, V) int) Claims[K, V] {
	return Claims[K, V]{owners: map[K]V{}, contested: map[K][]V{}, compare: compare}
}

// Owner returns the owner of a key, or the zero value if the key is not claimed.
func (c *Claims[K, V]) Owner(key K) V { return c.owners[key] }

// Keys returns an iterator over all claimed keys.
func (c *Claims[K, V]) Keys() iter.Seq[K] { return maps.Keys(c.owners) }

// Claim adds a claim to a key.
func (c *Claims[K, V]) Claim(key K, claimant V) {
	first, claimed := c.owners[key]
	if !claimed {
		c.owners[key] = claimant
		return
	}
	all := c.contested[key]
	if len(all) == 0 {
		all = []V{first}
	}
	if !slices.Contains(all, claimant) {
		c.settle(key, append(all, claimant))
	}
}

// Release removes a claim to a key.
func (c *Claims[K, V]) Release(key K, claimant V) {
	all, contested := c.contested[key]
	if !contested {
		if c.owners[key] == claimant {
			delete(c.owners, key)
		}
		return
	}
	c.settle(key, slices.DeleteFunc(all, func(v V) bool { return v == claimant }))
}

// settle stores all claims to a key and determines the owner of the key.
func (c *Claims[K, V]) settle(key K, all []V) {
	c.owners[key] = slices.MaxFunc(all, func(a, b V) int { return c.compare(key, a, b) })
	if len(all) > 1 {
		c.contested[key] = all
	} else {
		delete(c.contested, key)
	}
}
