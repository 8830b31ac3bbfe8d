// Package format defines the layout of a tree file. Package build encodes the file, and
// package tree reads it. docs/tree-format.md contains a diagram of the layout.
//
// A file is a sequence of words. A word is a uint32 in the byte order of the machine. Offsets,
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
	HeadChecksum   = 4 // CRC-32C of all words from HeadChecked to the end of the file
	HeadChecked    = 5 // the first word that the checksum covers; always 0
	HeadGeneration = 6 // two words, the low word first
	HeadLength     = 8 // length of the file in words: two words, the low word first
	HeadSections   = 10
	HeadContents   = HeadSections + 2*Sections // a combination of the Contents bits
	HeadWords      = HeadContents + 1
)

// The bits of HeadContents. A bit states that the file contains an optional part. Readers ignore
// the bits that they do not understand, and the parts that these bits announce. So a new optional
// part does not need a new version.
const (
	// ContentsFingerprints means that the rules of each program are followed by their fingerprints.
	ContentsFingerprints = 1 << iota
)

// Values of the header.
const (
	Magic         = "SLUICETR"
	Version       = 3
	ByteOrderMark = 0x01020304
	// OtherOrder is the value that is read as ByteOrderMark if the file was written on a
	// machine with the other byte order.
	OtherOrder = 0x04030201
)

// The sections in the order of the file. Each section starts at the first multiple of
// Alignment at or after the end of the previous section.
const (
	SectionNames     = iota // {first byte, number of bytes} of each name; name 0 is the name of the node
	SectionNameBytes        // the bytes of the names
	SectionIPv4             // hash table of IPv4 addresses
	SectionIPv6             // hash table of IPv6 addresses
	SectionEndpoints        // the addresses of local pods
	SectionPods             // the local pods
	SectionPrograms         // the programs that decide the flows of local pods
	Sections
)

// Alignment is the alignment of sections and programs: a cache line of 64 bytes.
const Alignment = 16

// An address table is a hash table with open addressing and linear probing. Each slot contains
// an address and a value. The number of slots is a power of two, and at most four fifths of the
// slots are used. The hash of an address selects the slot at which a search for the address
// starts. The search continues slot by slot, and wraps around at the end of the table, until it
// finds the address or a free slot. A slot with value 0 is free.
const (
	SlotWords4 = 2 // address, value
	SlotWords6 = 5 // four words of address, value
	MinSlots   = 8
)

// In the value of an address, the low OwnerBits bits specify whether the address belongs to a
// remote pod, to a local pod or to this node. The higher bits contain the class of the remote
// pod, or the number of the local pod's endpoint record.
const (
	OwnerRemote   = 1
	OwnerLocal    = 2
	OwnerThisNode = 3
	OwnerBits     = 2
	OwnerMask     = 1<<OwnerBits - 1
	// MaxClass is the largest class that fits into the higher bits of a value.
	MaxClass = 1<<(32-OwnerBits) - 1
)

// The words of an endpoint record. An endpoint is one address of a local pod. A record fills a cache
// line.
const (
	EndpointClass    = 0  // low OwnerBits bits: 0 for an unused record, 1 for IPv4, 2 for IPv6; bits above: class
	EndpointPod      = 1  // number of the pod
	EndpointPrograms = 2  // Programs words: offsets of the programs, 0 if there is no such program
	EndpointAddress  = 8  // four words, most significant first; an IPv4 address is in the last word
	EndpointWords    = 16 // the last four words are 0

	EndpointIPv4 = 1
	EndpointIPv6 = 2
)

// Programs is the number of programs of a pod. The programs for egress come first, in the order of
// the tiers, and then the programs for ingress.
const Programs = 2 * Tiers

// Tiers is the number of tiers: Admin, NetworkPolicy and Baseline.
const Tiers = 3

// The words of a pod record.
const (
	PodName     = 0 // number of the pod's name, NoName if the record is unused
	PodPrograms = 1 // Programs words, as in an endpoint
	PodWords    = 8 // the last word is 0

	NoName = 1<<32 - 1
)

// The words of a program. A program contains the rules of one tier. Offsets inside a program are
// relative to its first word.
const (
	ProgramLength   = 0 // including padding
	ProgramTier     = 1
	ProgramDenies   = 2 // 1 if the program can deny a flow, otherwise 0
	ProgramIsolated = 3 // number of isolating NetworkPolicies; the numbers of their names start at ProgramBody
	ProgramRules    = 4 // number of rules; the rules follow the names of the isolating policies
	ProgramPorts    = 5 // PortTables words: offsets of the port tables
	ProgramBody     = ProgramPorts + PortTables
)

// The words of a rule.
const (
	RuleName   = 0
	RuleIndex  = 1
	RuleAction = 2
	RuleWords  = 3

	// FingerprintWords is the number of words of a fingerprint, the low word first. The fingerprints
	// of a program follow its rules, in the same order.
	FingerprintWords = 2
)

// The indexes of the port tables of a program, by protocol. A port table consists of a
// count n, then the first ports of n intervals in ascending order, and then the offsets
// of the leaves of these intervals.
const (
	PortsTCP   = 0
	PortsUDP   = 1
	PortsSCTP  = 2
	PortsOther = 3 // protocols without ports
	PortTables = 4
)

// The words of a leaf. A leaf contains entries (see ActionBits) for the peers of the
// rules: an entry that applies to every peer, an entry for each class, and an entry for each
// interval of addresses. Of the entries that apply to a peer, the smallest entry other than 0
// determines the verdict.
const (
	LeafEvery     = 0
	LeafDirectory = 1 // two words: offset and number of pages
	LeafIPv4      = 3 // two words: offset and number of intervals
	LeafIPv6      = 5 // two words: offset and number of intervals
	LeafNext      = 7 // offset of the next leaf to search, lower than the offset of this leaf; 0 means none
	LeafWords     = 8

	// MaxLeaves is the maximum number of leaves that a lookup of one port searches: one
	// leaf for each level of a binary tree over all 65536 ports.
	MaxLeaves = 17

	// PageClasses is the number of classes in a page of entries.
	PageClasses = 1 << PageBits
	PageBits    = 5
)

// The low ActionBits bits of an entry contain the action of a rule. The higher bits contain the
// number of the rule in the program. Entry 0 means that no rule matches. If two entries are not
// 0, the smaller one belongs to the earlier rule.
const (
	ActionBits = 8
	ActionMask = 1<<ActionBits - 1
	// MaxRules is the largest number of rules in a program.
	MaxRules = 1 << (32 - ActionBits)
)

// Castagnoli is the CRC-32C table for the checksum of a file.
var Castagnoli = crc32.MakeTable(crc32.Castagnoli)

// BytesOf returns a view of words as bytes. Both share the same memory.
func BytesOf(words []uint32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*WordSize)
}

// WordsOf returns a view of bytes as words. Both share the same memory. The bytes must be
// aligned to a word. Bytes after the last whole word are ignored.
func WordsOf(bytes []byte) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(bytes))), len(bytes)/WordSize)
}

// Aligned rounds a length up to the next multiple of Alignment.
func Aligned[T int | uint32 | uint64](n T) T { return (n + Alignment - 1) / Alignment * Alignment }
