package tree

import (
	"errors"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// Image is a tree about to be written. It shares memory with its builder and
// holds only until the builder's next Apply or Encode.
type Image struct {
	head  []uint32
	parts [sections][]uint32
	words uint64
}

// padding fills up to the next multiple of alignment.
var padding [alignment * wordSize]byte

// Encode gives the rules as a tree of the given generation.
func (b *Builder) Encode(generation uint64) (*Image, error) {
	b.names.encode()
	if err := b.encodePrograms(); err != nil {
		return nil, err
	}
	image := &Image{head: make([]uint32, aligned(headWords))}
	image.parts = [sections][]uint32{
		sectionNames:     b.names.words,
		sectionNameBytes: b.names.bytes,
		sectionIPv4:      b.ipv4.words,
		sectionIPv6:      b.ipv6.words,
		sectionEndpoints: b.encodeEndpoints(),
		sectionPods:      b.encodePods(),
		sectionPrograms:  b.programWords,
	}
	at := uint64(len(image.head))
	for section, words := range image.parts {
		image.head[headSections+2*section] = uint32(at)
		image.head[headSections+2*section+1] = uint32(len(words))
		at = aligned(at + uint64(len(words)))
	}
	if at >= 1<<32 {
		return nil, errors.New("encoding tree: more than 16 GiB")
	}
	image.words = at
	copy(bytesOf(image.head), magic)
	image.head[headVersion] = formatVersion
	image.head[headByteOrder] = byteOrderMark
	image.head[headGeneration], image.head[headGeneration+1] = uint32(generation), uint32(generation>>32)
	image.head[headLength], image.head[headLength+1] = uint32(at), uint32(at>>32)
	sum := crc32.Checksum(bytesOf(image.head[headChecked:]), castagnoli)
	for bytes := range image.bytes() {
		sum = crc32.Update(sum, castagnoli, bytes)
	}
	image.head[headChecksum] = sum
	return image, nil
}

// bytes gives what lies behind the header: the sections, each with the padding
// behind it.
func (i *Image) bytes() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, words := range i.parts {
			if !yield(bytesOf(words)) || !yield(padding[:(aligned(len(words))-len(words))*wordSize]) {
				return
			}
		}
	}
}

// Size gives the length in bytes.
func (i *Image) Size() int64 { return int64(i.words) * wordSize }

// WriteTo writes the tree, section by section.
func (i *Image) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(bytesOf(i.head))
	written := int64(n)
	if err != nil {
		return written, err
	}
	for bytes := range i.bytes() {
		if len(bytes) == 0 {
			continue
		}
		n, err := w.Write(bytes)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// encodePrograms lays the programs out, by their IDs. Offset 0 is no program.
func (b *Builder) encodePrograms() error {
	if !b.programsChanged {
		return nil
	}
	total := alignment
	for _, p := range b.programs {
		total += len(p.words)
	}
	if total >= 1<<32 {
		return errors.New("encoding tree: programs of more than 16 GiB")
	}
	b.programWords = make([]uint32, alignment, total)
	for _, id := range slices.Sorted(maps.Keys(b.programs)) {
		p := b.programs[id]
		p.offset = uint32(len(b.programWords))
		b.programWords = append(b.programWords, p.words...)
	}
	b.programsChanged = false
	return nil
}

// offset gives where a program lies, 0 for none.
func (b *Builder) offset(id rule.ProgramID) uint32 {
	if p := b.programs[id]; p != nil {
		return p.offset
	}
	return 0
}

func (b *Builder) encodeEndpoints() []uint32 {
	words := make([]uint32, len(b.endpoints)*endpointWords)
	for i := range b.endpoints {
		e, record := &b.endpoints[i], words[i*endpointWords:]
		if !e.addr.IsValid() {
			continue
		}
		family, pod := uint32(endpointIPv6), b.pods[e.pod]
		if e.addr.Is4() {
			family = endpointIPv4
		}
		record[endpointClass] = uint32(e.class)<<ownerBits | family
		record[endpointPod] = pod.number
		for direction, id := range pod.programs {
			record[endpointPrograms+direction] = b.offset(id)
		}
		a := addressOf(e.addr).words()
		copy(record[endpointAddress:], a[:])
	}
	return words
}

func (b *Builder) encodePods() []uint32 {
	words := make([]uint32, len(b.podAt)*podWords)
	for i, pod := range b.podAt {
		record := words[i*podWords:]
		if pod == nil {
			record[podName] = noName
			continue
		}
		record[podName] = pod.nameID
		for direction, id := range pod.programs {
			record[podPrograms+direction] = b.offset(id)
		}
	}
	return words
}
