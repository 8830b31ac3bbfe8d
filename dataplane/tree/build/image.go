package build

import (
	"errors"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// Image is an encoded tree. An Image shares memory with its builder, so it is valid only until the
// next call of Apply or Encode.
type Image struct {
	head  []uint32
	parts [format.Sections][]uint32
	words uint64
}

// padding contains zero bytes. After each section, some of these bytes are written, so that the
// next section starts at a multiple of format.Alignment.
var padding [format.Alignment * format.WordSize]byte

// Encode encodes the current rules as the tree with the given generation. If two builders have applied
// the same deltas in the same order, their trees are identical.
func (b *Builder) Encode(generation uint64) (*Image, error) {
	b.names.encode()
	if err := b.encodePrograms(); err != nil {
		return nil, err
	}
	image := &Image{head: make([]uint32, format.Aligned(format.HeadWords))}
	image.parts = [format.Sections][]uint32{
		format.SectionNames:     b.names.words,
		format.SectionNameBytes: b.names.bytes,
		format.SectionIPv4:      b.ipv4.words,
		format.SectionIPv6:      b.ipv6.words,
		format.SectionEndpoints: b.encodeEndpoints(),
		format.SectionPods:      b.encodePods(),
		format.SectionPrograms:  b.programWords,
	}
	at := uint64(len(image.head))
	for section, words := range image.parts {
		image.head[format.HeadSections+2*section] = uint32(at)
		image.head[format.HeadSections+2*section+1] = uint32(len(words))
		at = format.Aligned(at + uint64(len(words)))
	}
	if at >= 1<<32 {
		return nil, errors.New("encoding the tree: the tree is larger than 16 GiB")
	}
	image.words = at
	copy(format.BytesOf(image.head), format.Magic)
	image.head[format.HeadVersion] = format.Version
	image.head[format.HeadByteOrder] = format.ByteOrderMark
	image.head[format.HeadGeneration], image.head[format.HeadGeneration+1] = uint32(generation), uint32(generation>>32)
	image.head[format.HeadLength], image.head[format.HeadLength+1] = uint32(at), uint32(at>>32)
	image.head[format.HeadContents] = format.ContentsFingerprints
	sum := crc32.Checksum(format.BytesOf(image.head[format.HeadChecked:]), format.Castagnoli)
	for bytes := range image.bytes() {
		sum = crc32.Update(sum, format.Castagnoli, bytes)
	}
	image.head[format.HeadChecksum] = sum
	return image, nil
}

// bytes iterates over the content of the file after the header. It yields each section and then
// the padding of the section.
func (i *Image) bytes() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, words := range i.parts {
			if !yield(format.BytesOf(words)) || !yield(padding[:(format.Aligned(len(words))-len(words))*format.WordSize]) {
				return
			}
		}
	}
}

// Size returns the size of the encoded tree in bytes.
func (i *Image) Size() int64 { return int64(i.words) * format.WordSize }

// Words returns the content of the tree file.
func (i *Image) Words() []uint32 {
	words := make([]uint32, 0, i.words)
	words = append(words, i.head...)
	for _, part := range i.parts {
		words = append(words, part...)
		words = words[:format.Aligned(len(words))]
	}
	return words
}

// WriteTo implements io.WriterTo. It writes the tree section by section.
func (i *Image) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(format.BytesOf(i.head))
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

// encodePrograms encodes the programs in the order of their IDs. It places no program at offset
// 0, because offset 0 means "no program".
func (b *Builder) encodePrograms() error {
	if !b.programsChanged {
		return nil
	}
	total := format.Alignment
	for _, p := range b.programs {
		total += len(p.words)
	}
	if total >= 1<<32 {
		return errors.New("encoding the tree: the programs are larger than 16 GiB")
	}
	b.programWords = make([]uint32, format.Alignment, total)
	for _, id := range slices.Sorted(maps.Keys(b.programs)) {
		p := b.programs[id]
		p.offset = uint32(len(b.programWords))
		b.programWords = append(b.programWords, p.words...)
	}
	b.programsChanged = false
	return nil
}

// offset returns the offset of a program, or 0 if the program does not exist.
func (b *Builder) offset(id rule.ProgramID) uint32 {
	if p := b.programs[id]; p != nil {
		return p.offset
	}
	return 0
}

func (b *Builder) encodeEndpoints() []uint32 {
	words := make([]uint32, len(b.endpoints)*format.EndpointWords)
	for i := range b.endpoints {
		e, record := &b.endpoints[i], words[i*format.EndpointWords:]
		if !e.addr.IsValid() {
			continue
		}
		family, pod := uint32(format.EndpointIPv6), b.pods[e.pod]
		if e.addr.Is4() {
			family = format.EndpointIPv4
		}
		record[format.EndpointClass] = uint32(e.class)<<format.OwnerBits | family
		record[format.EndpointPod] = pod.number
		for n, id := range pod.programs {
			record[format.EndpointPrograms+n] = b.offset(id)
		}
		a := format.AddressOf(e.addr).Words()
		copy(record[format.EndpointAddress:], a[:])
	}
	return words
}

func (b *Builder) encodePods() []uint32 {
	words := make([]uint32, len(b.podAt)*format.PodWords)
	for i, pod := range b.podAt {
		record := words[i*format.PodWords:]
		if pod == nil {
			record[format.PodName] = format.NoName
			continue
		}
		record[format.PodName] = pod.nameID
		for n, id := range pod.programs {
			record[format.PodPrograms+n] = b.offset(id)
		}
	}
	return words
}
