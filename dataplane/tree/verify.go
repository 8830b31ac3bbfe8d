package tree

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/dataplane/tree/internal/format"
)

// verify checks every offset, count and reference in the sections, so that evaluations need no
// checks.
func (t *Tree) verify() error {
	if err := t.verifyNames(); err != nil {
		return err
	}
	programs, err := t.verifyPrograms()
	if err != nil {
		return err
	}
	if err := t.verifyPods(programs); err != nil {
		return err
	}
	if err := t.verifyEndpoints(programs); err != nil {
		return err
	}
	if err := t.verifyTable("IPv4", t.ipv4, format.SlotWords4); err != nil {
		return err
	}
	return t.verifyTable("IPv6", t.ipv6, format.SlotWords6)
}

func (t *Tree) verifyNames() error {
	if len(t.names) < 2 || len(t.names)%2 != 0 {
		return errors.New("the names section is empty or incomplete")
	}
	for i := 0; i < len(t.names); i += 2 {
		if uint64(t.names[i])+uint64(t.names[i+1]) > uint64(len(t.nameBytes)) {
			return fmt.Errorf("name %d is outside the section with the bytes of the names", i/2)
		}
	}
	return nil
}

func (t *Tree) isName(number uint32) bool { return uint64(number) < uint64(len(t.names)/2) }

// verifyPrograms verifies all programs and returns their offsets in ascending order. The result
// also contains offset 0, which means "no program".
func (t *Tree) verifyPrograms() ([]uint32, error) {
	if len(t.programs) < format.Alignment {
		return nil, errors.New("no programs section")
	}
	offsets, v := []uint32{0}, programVerifier{tree: t, regions: map[region]struct{}{}}
	for rest := t.programs[format.Alignment:]; len(rest) > 0; {
		offset := len(t.programs) - len(rest)
		length := uint64(rest[format.ProgramLength])
		if length < format.ProgramBody || length > uint64(len(rest)) {
			return nil, fmt.Errorf("program at %d: length %d", offset, length)
		}
		v.begin(rest[:length])
		if err := v.verify(); err != nil {
			return nil, fmt.Errorf("program at %d: %w", offset, err)
		}
		t.counts.Programs++
		t.counts.Rules += int(rest[format.ProgramRules])
		offsets = append(offsets, uint32(offset))
		rest = rest[length:]
	}
	return offsets, nil
}

func (t *Tree) verifyPods(programs []uint32) error {
	if len(t.pods)%format.PodWords != 0 {
		return errors.New("the length of the pods section is not a multiple of the length of a pod")
	}
	for i := 0; i < len(t.pods); i += format.PodWords {
		pod := t.pods[i : i+format.PodWords]
		if pod[format.PodName] == format.NoName {
			continue
		}
		if !t.isName(pod[format.PodName]) {
			return fmt.Errorf("pod %d: name %d does not exist", i/format.PodWords, pod[format.PodName])
		}
		if err := t.verifyUses(programs, pod[format.PodPrograms:]); err != nil {
			return fmt.Errorf("pod %d: %w", i/format.PodWords, err)
		}
		t.counts.Pods++
	}
	return nil
}

// verifyUses returns an error if a record refers to a program that does not exist, or to a program
// of the wrong tier. The first words of the record are the offsets of the programs of a pod. The
// `programs` parameter contains all valid offsets in ascending order.
func (t *Tree) verifyUses(programs, record []uint32) error {
	for i, offset := range record[:format.Programs] {
		if _, ok := slices.BinarySearch(programs, offset); !ok {
			return fmt.Errorf("no program starts at offset %d", offset)
		}
		if tier := uint32(i % format.Tiers); offset != 0 && t.programs[offset+format.ProgramTier] != tier {
			return fmt.Errorf("the program at offset %d is not of tier %d", offset, tier)
		}
	}
	return nil
}

func (t *Tree) verifyEndpoints(programs []uint32) error {
	if len(t.endpoints)%format.EndpointWords != 0 {
		return errors.New("the length of the endpoints section is not a multiple of the length of an endpoint")
	}
	for i := 0; i < len(t.endpoints); i += format.EndpointWords {
		e := t.endpoints[i : i+format.EndpointWords]
		switch e[format.EndpointClass] & format.OwnerMask {
		case 0:
			continue
		case format.EndpointIPv4, format.EndpointIPv6:
		default:
			return fmt.Errorf("endpoint %d: unknown address family", i/format.EndpointWords)
		}
		pod := uint64(e[format.EndpointPod]) * format.PodWords
		if pod >= uint64(len(t.pods)) || t.pods[pod+format.PodName] == format.NoName {
			return fmt.Errorf("endpoint %d: pod %d does not exist", i/format.EndpointWords, e[format.EndpointPod])
		}
		if err := t.verifyUses(programs, e[format.EndpointPrograms:]); err != nil {
			return fmt.Errorf("endpoint %d: %w", i/format.EndpointWords, err)
		}
		t.counts.LocalAddresses++
	}
	return nil
}

func (t *Tree) verifyTable(family string, table []uint32, width int) error {
	slots := len(table) / width
	if slots < format.MinSlots || slots&(slots-1) != 0 || len(table)%width != 0 {
		return fmt.Errorf("%s table: invalid length of %d words", family, len(table))
	}
	used := 0
	for i := 0; i < len(table); i += width {
		value := table[i+width-1]
		if value == 0 {
			continue
		}
		used++
		switch value & format.OwnerMask {
		case format.OwnerRemote:
		case format.OwnerThisNode:
		case format.OwnerLocal:
			endpoint := uint64(value>>format.OwnerBits) * format.EndpointWords
			if endpoint >= uint64(len(t.endpoints)) || t.endpoints[endpoint+format.EndpointClass]&format.OwnerMask == 0 {
				return fmt.Errorf("%s address in slot %d: endpoint %d does not exist", family, i/width, value>>format.OwnerBits)
			}
		default:
			return fmt.Errorf("%s address in slot %d: unknown kind of owner", family, i/width)
		}
	}
	if used*5 > slots*4 {
		return fmt.Errorf("%s table is too full: %d of %d slots are in use", family, used, slots)
	}
	t.counts.Addresses += used
	return nil
}
