// Package digest computes short digests that identify what a node enforces for a policy. The
// agent of a node reports one digest for each policy that selects a pod on the node. The
// operator computes the same digest from the objects in its caches. If the node has reported
// this digest, the node enforces the current version of the policy for the current pods.
//
// A digest depends only on the objects. It depends neither on resource versions nor on the order
// of events, so it stays valid when the operator restarts and when etcd is restored from a
// backup.
package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/policy"
)

// Size is the length of a digest in bytes.
const Size = 8

// Digest identifies a version of a policy, and the pods of one node that the policy selects.
type Digest [Size]byte

// Of returns the digest of a policy on one node. The `pods` parameter contains the node's pods that
// the policy selects, in any order. Of does not modify it. The digest depends only on pods with an
// address, and only on the addresses in the Pod object. CNI results and announced addresses do not
// change it.
func Of(p *policy.Policy, pods []*policy.Pod) Digest {
	hash := sha256.New()
	write := func(text string) {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(text)))
		hash.Write(length[:])
		hash.Write([]byte(text))
	}
	write(p.UID)
	write(string(binary.BigEndian.AppendUint64(nil, uint64(p.Generation))))
	sorted := slices.Clone(pods)
	slices.SortFunc(sorted, func(a, b *policy.Pod) int { return strings.Compare(a.UID, b.UID) })
	for _, pod := range sorted {
		if pod.Announced || len(pod.Addresses) == 0 {
			continue
		}
		write(pod.UID)
		for _, a := range pod.Addresses {
			write(string(a.AsSlice()))
		}
	}
	return Digest(hash.Sum(nil)[:Size])
}

// Join returns the concatenation of digests in ascending order, without duplicates. The field
// status.enforced of a NodeEnforcer has this format.
func Join(digests []Digest) []byte {
	sorted := slices.Clone(digests)
	slices.SortFunc(sorted, compare)
	out := make([]byte, 0, Size*len(sorted))
	for _, d := range slices.Compact(sorted) {
		out = append(out, d[:]...)
	}
	return out
}

// Contains reports whether a result of Join contains a digest.
func Contains(joined []byte, d Digest) bool {
	at := func(i int) Digest { return Digest(joined[i*Size : (i+1)*Size]) }
	low, high := 0, len(joined)/Size
	for low < high {
		middle := (low + high) / 2
		switch order := compare(at(middle), d); {
		case order == 0:
			return true
		case order < 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	return false
}

func compare(a, b Digest) int { return slices.Compare(a[:], b[:]) }
