package tree

import (
	"errors"
	"hash/crc32"
	"unsafe"
)

// A file is a sequence of words: uint32 in the byte order of the machine.
// Offsets and lengths are in words unless they say otherwise.
const wordSize = 4

// The header, by word.
const (
	headMagic      = 0 // two words, the bytes of magic
	headVersion    = 2
	headByteOrder  = 3
	headChecksum   = 4 // CRC-32C of everything behind it
	headChecked    = 5 // the first word that the checksum covers; 0
	headGeneration = 6 // two words, the low one first
	headLength     = 8 // two words, the low one first: length of the file in words
	headSections   = 10
	headWords      = headSections + 2*sections
)

const (
	magic         = "SLUICETR"
	formatVersion = 2
	byteOrderMark = 0x01020304
	otherOrder    = 0x04030201
)

// The sections in the order in which they lie in the file. Each starts at the
// next multiple of alignment behind the one before.
const (
	sectionNames     = iota // {first byte, bytes} for each name; name 0 is the node's
	sectionNameBytes        // the names' bytes
	sectionIPv4             // hash table of IPv4 addresses
	sectionIPv6             // hash table of IPv6 addresses
	sectionEndpoints        // the local pods' addresses
	sectionPods             // the local pods
	sectionPrograms         // what judges them
	sections
)

// alignment of sections and programs: a cache line of 64 bytes.
const alignment = 16

// What a table says of an address: kind in the low bits, above them the class
// of a remote pod or the number of an endpoint. 0 is a free slot.
const (
	ownerRemote   = 1
	ownerLocal    = 2
	ownerThisNode = 3
	ownerBits     = 2
	ownerMask     = 1<<ownerBits - 1
	// maxClass is the largest class that fits above the kind.
	maxClass = 1<<(32-ownerBits) - 1
)

// An endpoint is one address of a local pod.
const (
	endpointClass    = 0 // class above its low bits, in which 0 is unused, 1 IPv4 and 2 IPv6
	endpointPod      = 1 // number of the pod
	endpointPrograms = 2 // two words: egress and ingress program, 0 where not isolated
	endpointAddress  = 4 // four words, the high one first; an IPv4 address is the last
	endpointWords    = 8

	endpointIPv4 = 1
	endpointIPv6 = 2
)

// A pod.
const (
	podName     = 0 // number of its name, noName where the record is unused
	podPrograms = 1 // two words, as in an endpoint
	podWords    = 4

	noName = 1<<32 - 1
)

// A program. Offsets in it count from its first word.
const (
	programLength   = 0 // with padding
	programIsolated = 1 // how many policies isolate; their names start at programBody
	programRules    = 2 // how many rules; they follow the isolating policies
	programPorts    = 3 // four words: where the port tables of TCP, UDP, SCTP and all else lie
	programBody     = 7

	ruleName   = 0
	ruleIndex  = 1
	ruleAction = 2
	ruleWords  = 3

	// A port table is its length n, the first ports of n intervals, and the
	// offsets of their n leaves.
	slotTCP   = 0
	slotUDP   = 1
	slotSCTP  = 2
	slotOther = 3
	slots     = 4
)

// A leaf says who decides for a peer: an entry for everybody, one for each
// class and one for each address.
const (
	leafEvery     = 0
	leafDirectory = 1 // two words: offset and number of pages
	leafIPv4      = 3 // two words: offset and number of intervals
	leafIPv6      = 5 // two words: offset and number of intervals
	leafNext      = 7 // offset of a leaf that is asked as well, which lies before this one; 0 is none
	leafWords     = 8

	// maxLeaves is how many leaves are asked about one port at most: one for each
	// level of a binary tree over all ports.
	maxLeaves = 17

	// pageClasses is how many classes a page of entries holds.
	pageClasses = 1 << pageBits
	pageBits    = 5
)

// An entry is action and rule of the program, the rule above. 0 is no rule;
// of two other entries the lower one is of the rule that comes first.
const (
	actionBits = 8
	actionMask = 1<<actionBits - 1
	// maxRules is how many rules a program may have.
	maxRules = 1 << (32 - actionBits)
)

// The ways in which Open refuses a file, beside those of the file system. Its
// errors name file and reason.
var (
	// ErrCorrupt: the file is no tree, or a damaged or incomplete one.
	ErrCorrupt = errors.New("not a sound tree")
	// ErrVersion: the tree has a format that this build cannot read.
	ErrVersion = errors.New("unknown tree format")
	// ErrByteOrder: the tree was written on a machine of the other byte order.
	ErrByteOrder = errors.New("tree of the other byte order")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// bytesOf gives the memory of words as bytes.
func bytesOf(words []uint32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*wordSize)
}

// wordsOf gives the memory of bytes, aligned to a word, as words. Bytes behind
// the last whole word are left out.
func wordsOf(bytes []byte) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(bytes))), len(bytes)/wordSize)
}

// aligned rounds a length up to the next multiple of alignment.
func aligned[T int | uint32 | uint64](n T) T { return (n + alignment - 1) / alignment * alignment }
