package tree

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// Errors that Open returns in addition to errors of the file system.
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
	path       string
	mapping    []byte
	generation uint64
	counts     Counts
	// fingerprints is true if the tree contains the fingerprints of the rules.
	fingerprints bool

	// The remaining fields are the sections of the file. They point into the mapping.
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

// Open maps a tree into memory and verifies the whole tree. An error from Open names the
// file and wraps ErrCorrupt, ErrVersion, ErrByteOrder or an error of the file system.
//
// A tree file must never be changed. If another program truncates a mapped file, reading a
// removed page raises SIGBUS. Therefore, a publisher writes each tree to a new file. The file
// has a temporary name, which no reader opens, until the publisher renames it.
func Open(path string) (*Tree, error) {
	t := &Tree{path: path}
	if err := t.open(); err != nil {
		return nil, fmt.Errorf("opening tree %s: %w", path, err)
	}
	return t, nil
}

func (t *Tree) open() error {
	// Without O_NONBLOCK, opening a FIFO would wait for a writer.
	fd, err := unix.Open(t.path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), t.path)
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s, not a regular file", ErrCorrupt, kindOf(info.Mode()))
	case size < int64(format.Aligned(format.HeadWords)*format.WordSize):
		return fmt.Errorf("%w: %d bytes are too few for a header", ErrCorrupt, size)
	case size > math.MaxInt:
		return fmt.Errorf("%w: %d bytes do not fit into memory", ErrCorrupt, size)
	}
	mapping, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("mapping: %w", err)
	}
	t.mapping = mapping
	if err := t.read(); err != nil {
		t.Close()
		return err
	}
	return nil
}

func kindOf(mode fs.FileMode) string {
	if mode.IsDir() {
		return "a directory"
	}
	return "a special file"
}

// read checks the header and the checksum, locates the sections and verifies them.
func (t *Tree) read() error {
	words := format.WordsOf(t.mapping)
	if string(t.mapping[:len(format.Magic)]) != format.Magic {
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
	if uint64(len(t.mapping))%format.WordSize != 0 || length != uint64(len(words)) {
		return fmt.Errorf("%w: %d bytes, but the length in the header is %d words of %d bytes", ErrCorrupt, len(t.mapping), length, format.WordSize)
	}
	if sum := crc32.Checksum(t.mapping[format.HeadChecked*format.WordSize:], format.Castagnoli); sum != words[format.HeadChecksum] {
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

// Close unmaps the tree. The caller must ensure that the tree is no longer in use. A second
// call of Close does nothing.
func (t *Tree) Close() error {
	if t.mapping == nil {
		return nil
	}
	mapping := t.mapping
	*t = Tree{path: t.path, generation: t.generation}
	if err := unix.Munmap(mapping); err != nil {
		return fmt.Errorf("unmapping tree %s: %w", t.path, err)
	}
	return nil
}

// Generation returns the generation of the tree, which increases with each publication.
func (t *Tree) Generation() uint64 { return t.generation }

// Size returns the size of the file in bytes.
func (t *Tree) Size() int64 { return int64(len(t.mapping)) }

// Counts returns the number of records of each kind in the tree.
func (t *Tree) Counts() Counts { return t.counts }

// Node returns the name of the node for which the tree was built.
func (t *Tree) Node() string { return t.name(0) }
