package tree

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// Errors that Open and Decode return. Open also returns errors of the file system.
var (
	// ErrCorrupt means that the file is not a tree, or that it is damaged or incomplete.
	ErrCorrupt = errors.New("corrupt tree")
	// ErrVersion means that the tree has a format that this build cannot read.
	ErrVersion = errors.New("unknown tree format")
	// ErrByteOrder means that the tree was written on a machine with the other
	// byte order.
	ErrByteOrder = errors.New("tree was written on a machine with the other byte order")
)

// Tree is an open tree. All methods except Close are safe for concurrent use. After
// Close, only Close may be called again.
type Tree struct {
	// content is the content of the file, aligned to a word.
	content []byte
	// unmap unmaps the content. It is nil if the content is not a mapping.
	unmap      func() error
	generation uint64
	counts     Counts
	// fingerprints is true if the tree contains the fingerprints of the rules.
	fingerprints bool

	// The remaining fields are the sections of the file. They point into the content.
	names          []uint32
	nameBytes      []byte
	ipv4, ipv6     []uint32
	shift4, shift6 uint8
	endpoints      []uint32
	pods           []uint32
	programs       []uint32
}

// Counts contains the number of records of each kind in a tree.
type Counts struct {
	// Pods is the number of local pods. LocalAddresses is the number of their addresses.
	Pods, LocalAddresses int
	// Addresses is the number of addresses that belong to a local pod, a remote pod or the
	// node.
	Addresses int
	// Programs is the number of programs. Rules is the total number of rules in all
	// programs.
	Programs, Rules int
}

// Decode verifies the content of a tree file that is in memory, such as that of build.Image, and
// returns the tree. The words must not change while the tree is in use. An error from Decode wraps
// ErrCorrupt, ErrVersion or ErrByteOrder.
func Decode(words []uint32) (*Tree, error) {
	t := &Tree{content: format.BytesOf(words)}
	if err := t.read(); err != nil {
		return nil, fmt.Errorf("decoding a tree: %w", err)
	}
	return t, nil
}

// checkSize returns an error if a file of the given size in bytes is too small for a tree.
func checkSize(size int64) error {
	if size < int64(format.Aligned(format.HeadWords)*format.WordSize) {
		return fmt.Errorf("%w: %d bytes are too few for a header", ErrCorrupt, size)
	}
	return nil
}

// read checks the header and the checksum, locates the sections and verifies them.
func (t *Tree) read() error {
	if err := checkSize(t.Size()); err != nil {
		return err
	}
	words := format.WordsOf(t.content)
	if string(t.content[:len(format.Magic)]) != format.Magic {
		return fmt.Errorf("%w: not a tree", ErrCorrupt)
	}
	switch words[format.HeadByteOrder] {
	case format.ByteOrderMark:
	case format.OtherOrder:
		return ErrByteOrder
	default:
		return fmt.Errorf("%w: byte-order mark %#08x", ErrCorrupt, words[format.HeadByteOrder])
	}
	if version := words[format.HeadVersion]; version != format.Version {
		return fmt.Errorf("%w: version %d, this build reads version %d", ErrVersion, version, format.Version)
	}
	length := uint64(words[format.HeadLength]) | uint64(words[format.HeadLength+1])<<32
	if uint64(len(t.content))%format.WordSize != 0 || length != uint64(len(words)) {
		return fmt.Errorf("%w: %d bytes, but the length in the header is %d words of %d bytes", ErrCorrupt, len(t.content), length, format.WordSize)
	}
	if sum := crc32.Checksum(t.content[format.HeadChecked*format.WordSize:], format.Castagnoli); sum != words[format.HeadChecksum] {
		return fmt.Errorf("%w: checksum %08x, but the checksum in the header is %08x", ErrCorrupt, sum, words[format.HeadChecksum])
	}
	t.generation = uint64(words[format.HeadGeneration]) | uint64(words[format.HeadGeneration+1])<<32
	t.fingerprints = words[format.HeadContents]&format.ContentsFingerprints != 0
	var parts [format.Sections][]uint32
	at := uint64(format.Aligned(format.HeadWords))
	for section := range parts {
		offset, count := uint64(words[format.HeadSections+2*section]), uint64(words[format.HeadSections+2*section+1])
		if offset != at || offset+count > length {
			return fmt.Errorf("%w: section %d has %d words at offset %d, want offset %d", ErrCorrupt, section, count, offset, at)
		}
		parts[section] = words[offset : offset+count : offset+count]
		at = format.Aligned(offset + count)
	}
	if at != length {
		return fmt.Errorf("%w: the sections end at word %d, but the file has %d words", ErrCorrupt, at, length)
	}
	t.names, t.nameBytes = parts[format.SectionNames], format.BytesOf(parts[format.SectionNameBytes])
	t.ipv4, t.ipv6 = parts[format.SectionIPv4], parts[format.SectionIPv6]
	t.shift4, t.shift6 = format.Shift(len(t.ipv4)/format.SlotWords4), format.Shift(len(t.ipv6)/format.SlotWords6)
	t.endpoints, t.pods, t.programs = parts[format.SectionEndpoints], parts[format.SectionPods], parts[format.SectionPrograms]
	if err := t.verify(); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// Close releases the memory of the tree. The caller must ensure that the tree is no longer in use. A
// second call of Close does nothing.
func (t *Tree) Close() error {
	unmap := t.unmap
	*t = Tree{generation: t.generation}
	if unmap == nil {
		return nil
	}
	return unmap()
}

// Generation returns the generation of the tree, which increases with each publication.
func (t *Tree) Generation() uint64 { return t.generation }

// Size returns the size of the file in bytes.
func (t *Tree) Size() int64 { return int64(len(t.content)) }

// Counts returns the number of records of each kind in the tree.
func (t *Tree) Counts() Counts { return t.counts }

// Node returns the name of the node for which the tree was built.
func (t *Tree) Node() string { return t.name(0) }
