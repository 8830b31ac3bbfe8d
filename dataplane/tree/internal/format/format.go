// Package format is the layout of a tree's file, which package build writes and
// package tree reads. docs/tree-format.md draws it.
//
// A file is a sequence of words: uint32 in the byte order of the machine. Offsets,
// lengths and counts are in words unless stated otherwise.
package format

import (
	"hash/crc32"
	"unsafe"
)

// WordSize is the size of a word in bytes.
const WordSize = 4

// The words of the header.
const (
	HeadMagic      = 0 // two words: the bytes of Magic
	HeadVersion    = 2
	HeadByteOrder  = 3
	HeadChecksum   = 4 // CRC-32C of everything from HeadChecked on
	HeadChecked    = 5 // the first word that the checksum covers; always 0
	HeadGeneration = 6 // two words, the low one first
	HeadLength     = 8 // two words, the low one first: length of the file in words
	HeadSections   = 10
	HeadWords      = HeadSections + 2*Sections
)

// Values of the header.
const (
	Magic         = "SLUICETR"
	Version       = 2
	ByteOrderMark = 0x01020304
	// OtherOrder is ByteOrderMark as a machine of the other byte order writes it.
	OtherOrder = 0x04030201
)

// The sections in the order of the file. Each starts at the first multiple of
// Alignment after the end of the previous one.
const (
	SectionNames     = iota // {first byte, number of bytes} of each name; name 0 is the node's
	SectionNameBytes        // the bytes of the names
	SectionIPv4             // hash table of IPv4 addresses
	SectionIPv6             // hash table of IPv6 addresses
	SectionEndpoints        // the addresses of local pods
	SectionPods             // the local pods
	SectionPrograms         // the programs that decide about local pods
	Sections
)

// Alignment is the alignment of sections and programs: a cache line of 64 bytes.
const Alignment = 16

// An address table is a hash table with open addressing. Each slot contains an address and
// a value. The number of slots is a power of two, and at most four fifths of the slots are
// used. The hash of an address selects a slot. If this slot is in use, the address is in
// the next slot that was free when the address was added. A slot with value 0 is free and
// ends a search.
const (
	SlotWords4 = 2 // address, value
	SlotWords6 = 5 // four words of address, value
	MinSlots   = 8
)

// The value of a slot contains the kind of owner in its low bits. The bits above contain
// the class of a remote pod or the number of an endpoint.
const (
	OwnerRemote   = 1
	OwnerLocal    = 2
	OwnerThisNode = 3
	OwnerBits     = 2
	OwnerMask     = 1<<OwnerBits - 1
	// MaxClass is the largest class that fits above the kind.
	MaxClass = 1<<(32-OwnerBits) - 1
)

// The words of an endpoint, which is one address of a local pod.
const (
	EndpointClass    = 0 // the class, and in its low OwnerBits bits the family: 0 unused record, 1 IPv4, 2 IPv6
	EndpointPod      = 1 // number of the pod
	EndpointPrograms = 2 // two words: egress and ingress program, 0 if not isolated
	EndpointAddress  = 4 // four words, the high one first; an IPv4 address is in the last
	EndpointWords    = 8

	EndpointIPv4 = 1
	EndpointIPv6 = 2
)

// The words of a pod.
const (
	PodName     = 0 // number of its name, NoName if the record is unused
	PodPrograms = 1 // two words, as in an endpoint
	PodWords    = 4

	NoName = 1<<32 - 1
)

// The words of a program. Offsets inside a program count from its first word.
const (
	ProgramLength   = 0 // including padding
	ProgramIsolated = 1 // number of policies that isolate; their names start at ProgramBody
	ProgramRules    = 2 // number of rules; they follow the names of the isolating policies
	ProgramPorts    = 3 // PortTables words: offsets of the port tables
	ProgramBody     = ProgramPorts + PortTables
)

// The words of a rule.
const (
	RuleName   = 0
	RuleIndex  = 1
	RuleAction = 2
	RuleWords  = 3
)

// The port tables of a program, by protocol. A port table has a length n, the first
// ports of n intervals, and the offsets of the leaves of these intervals.
const (
	PortsTCP   = 0
	PortsUDP   = 1
	PortsSCTP  = 2
	PortsOther = 3 // protocols without ports
	PortTables = 4
)

// The words of a leaf. A leaf contains the deciding entry for each peer: one entry that
// applies to every peer, one entry for each class, and one entry for each interval of
// addresses.
const (
	LeafEvery     = 0
	LeafDirectory = 1 // two words: offset and number of pages
	LeafIPv4      = 3 // two words: offset and number of intervals
	LeafIPv6      = 5 // two words: offset and number of intervals
	LeafNext      = 7 // offset of a leaf that is searched as well and has a lower offset; 0 is none
	LeafWords     = 8

	// MaxLeaves is the maximum number of leaves that a lookup of one port searches: one
	// leaf for each level of a binary tree over all 65536 ports.
	MaxLeaves = 17

	// PageClasses is the number of classes in a page of entries.
	PageClasses = 1 << PageBits
	PageBits    = 5
)

// An entry contains the action of a rule in its low bits. The bits above contain the
// number of the rule in the program. Entry 0 means no rule. The smaller of two other
// entries belongs to the earlier rule.
const (
	ActionBits = 8
	ActionMask = 1<<ActionBits - 1
	// MaxRules is the largest number of rules in a program.
	MaxRules = 1 << (32 - ActionBits)
)

// Castagnoli is the table of the checksum.
var Castagnoli = crc32.MakeTable(crc32.Castagnoli)

// BytesOf returns the memory of words as bytes.
func BytesOf(words []uint32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*WordSize)
}

// WordsOf returns the memory of bytes as words. The bytes must be aligned to a word. Bytes
// after the last whole word are ignored.
func WordsOf(bytes []byte) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(bytes))), len(bytes)/WordSize)
}

// Aligned rounds a length up to the next multiple of Alignment.
func Aligned[T int | uint32 | uint64](n T) T { return (n + Alignment - 1) / Alignment * Alignment }
