package tree_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

// smallDelta returns a delta whose tree contains at least one record of each kind.
func smallDelta() rule.Delta {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	return rule.Delta{
		Addresses: []rule.AddressChange{
			{Addr: addr("10.0.0.1"), Owner: rule.Owner{Kind: rule.LocalPod, Pod: 1, Class: 1}},
			{Addr: addr("fd00::1"), Owner: rule.Owner{Kind: rule.LocalPod, Pod: 1, Class: 1}},
			{Addr: addr("10.0.0.2"), Owner: rule.Owner{Kind: rule.LocalPod, Pod: 2}},
			{Addr: addr("10.0.1.1"), Owner: rule.Owner{Kind: rule.RemotePod, Class: 2}},
			{Addr: addr("fd00:1::1"), Owner: rule.Owner{Kind: rule.RemotePod, Class: 2}},
			{Addr: addr("192.168.0.1"), Owner: rule.Owner{Kind: rule.ThisNode}},
		},
		Pods: []rule.PodChange{
			{ID: 1, Pod: &rule.Pod{Name: "shop/web", Ingress: 1, Egress: 2}},
			{ID: 2, Pod: &rule.Pod{Name: "shop/db", Admin: [2]rule.ProgramID{rule.Egress: 3}, Baseline: [2]rule.ProgramID{rule.Egress: 4}}},
		},
		Programs: []rule.ProgramChange{
			{ID: 1, Program: &rule.Program{Tier: rule.NetworkPolicyTier, IsolatedBy: []string{"shop/allow", "shop/deny"}, Rules: []rule.Rule{
				{Action: rule.ActionAccept, Policy: "shop/allow", Index: 0, Matches: []rule.Match{{
					Ports:   []rule.Ports{{Protocol: uint8(flow.TCP), First: 80, Last: 90}, {Protocol: uint8(flow.UDP), First: 53, Last: 53}},
					Classes: []rule.Class{2, 70},
				}}},
				{Action: rule.ActionAccept, Policy: "shop/allow", Index: 1, Matches: []rule.Match{{
					Ports:  []rule.Ports{{Protocol: uint8(flow.TCP), First: 443, Last: 443}},
					Blocks: []rule.Block{{Prefix: prefix("172.16.0.0/12"), Excepts: []netip.Prefix{prefix("172.16.1.0/24")}}, {Prefix: prefix("fd07::/16")}},
				}}},
			}}},
			{ID: 2, Program: &rule.Program{Tier: rule.NetworkPolicyTier, IsolatedBy: []string{"shop/deny"}, Rules: []rule.Rule{
				{Action: rule.ActionAccept, Policy: "shop/deny", Index: 0, Matches: []rule.Match{{Any: true, Ports: []rule.Ports{{Protocol: uint8(flow.SCTP), First: 0, Last: 65535}}}}},
				{Action: rule.ActionAccept, Policy: "shop/deny", Index: 1, Matches: []rule.Match{{Ports: []rule.Ports{{Protocol: uint8(flow.SCTP), First: 53, Last: 443}}, Classes: []rule.Class{2}}}},
			}}},
			{ID: 3, Program: &rule.Program{Tier: rule.AdminTier, Rules: []rule.Rule{
				{Action: rule.ActionPass, Policy: "first", Index: 0, Matches: []rule.Match{{Classes: []rule.Class{1}}}},
				{Action: rule.ActionDeny, Policy: "first", Index: 1, Matches: []rule.Match{{Blocks: []rule.Block{{Prefix: prefix("172.16.0.0/12")}}}}},
			}}},
			{ID: 4, Program: &rule.Program{Tier: rule.BaselineTier, Rules: []rule.Rule{
				{Action: rule.ActionDeny, Policy: "last", Index: 0, Matches: []rule.Match{{Any: true, Ports: []rule.Ports{{Protocol: uint8(flow.TCP), First: 80, Last: 80}}}}},
			}}},
		},
	}
}

// smallFlows returns flows whose evaluation reaches every part of the tree of smallDelta.
func smallFlows() []flow.Flow {
	var flows []flow.Flow
	ends := parseAll(netip.MustParseAddr, "10.0.0.1", "fd00::1", "10.0.0.2", "10.0.1.1", "fd00:1::1", "192.168.0.1", "172.16.1.1", "172.17.0.1", "fd07::1", "1.1.1.1")
	for _, src := range ends {
		for _, dst := range ends {
			for _, protocol := range protocols {
				for _, port := range []uint16{0, 53, 80, 443, 65535} {
					flows = append(flows, flow.Flow{Src: src, Dst: dst, Protocol: protocol, DstPort: port})
				}
			}
		}
	}
	return flows
}

// smallBuilder returns a builder that has applied smallDelta.
func smallBuilder(t testing.TB) *build.Builder {
	t.Helper()
	b := build.New("node")
	b.SetFlatLimit(0)
	if err := b.Apply(smallDelta()); err != nil {
		t.Fatal(err)
	}
	return b
}

func smallTree(t testing.TB) []byte {
	t.Helper()
	b := smallBuilder(t)
	s := newFixture(t)
	s.publish(t, b)
	bytes, err := os.ReadFile(filepath.Join(s.dir, "tree", "current"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

const checksumAt, checkedFrom = 16, 20

// repair updates the checksum in a file whose content was changed.
func repair(file []byte) {
	if len(file) >= checkedFrom {
		sum := crc32.Checksum(file[checkedFrom:], crc32.MakeTable(crc32.Castagnoli))
		binary.NativeEndian.PutUint32(file[checksumAt:], sum)
	}
}

// exercise evaluates flows and calls all methods that read the sections of a tree.
func exercise(t *tree.Tree, flows []flow.Flow) {
	for _, f := range flows {
		d := t.Evaluate(f)
		for direction, side := range map[rule.Direction]rule.Side{rule.Egress: d.Egress, rule.Ingress: d.Ingress} {
			t.Rule(side)
			t.Passed(side)
			t.IsolatedBy(side)
			t.NearMisses(f, direction, side)
		}
		t.Pod(f.Src)
	}
	for range t.Pods() {
		continue
	}
	t.Policies()
	for _, p := range t.Programs() {
		p.Isolation()
		p.IsolatedBy()
		for i := range p.Len() {
			p.Fingerprint(i)
			p.Rule(i)
		}
	}
	t.Node()
}

// openBytes writes file to path and opens it as a tree. If the file consists of whole words, Decode
// must return the same error as Open.
func openBytes(t testing.TB, path string, file []byte) (*tree.Tree, error) {
	t.Helper()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	tr, err := tree.Open(path)
	if len(file)%4 == 0 {
		_, decodeErr := tree.Decode(wordsOf(file))
		if got, want := cause(decodeErr, "decoding a tree: "), cause(err, "opening tree "+path+": "); got != want {
			t.Errorf("Decode returned error %q, but Open returned error %q", got, want)
		}
	}
	return tr, err
}

// wordsOf returns a copy of a file as words.
func wordsOf(file []byte) []uint32 {
	words := make([]uint32, len(file)/4)
	for i := range words {
		words[i] = binary.NativeEndian.Uint32(file[4*i:])
	}
	return words
}

// cause returns the text of an error without a prefix.
func cause(err error, prefix string) string {
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(err.Error(), prefix)
}

func wantRejected(t *testing.T, what, path string, tr *tree.Tree, err, want error) {
	t.Helper()
	if err == nil {
		_ = tr.Close()
		t.Fatalf("%s: opened, want an error", what)
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
		t.Fatalf("%s: got error %q, want one about %q that names %s", what, err, want, path)
	}
}

func TestTruncatedTreeIsRejected(t *testing.T) {
	whole, path := smallTree(t), filepath.Join(t.TempDir(), "cut.tree")
	for n := 0; n < len(whole); n += spacing(1) {
		tr, err := openBytes(t, path, whole[:n])
		wantRejected(t, "cut", path, tr, err, tree.ErrCorrupt)
	}
	tr, err := openBytes(t, path, append(whole, 0))
	wantRejected(t, "longer", path, tr, err, tree.ErrCorrupt)
}

// spacing returns the distance between the positions at which a test changes a file. With -short,
// it returns a larger distance, so that fewer positions are tested.
func spacing(distance int) int {
	if testing.Short() {
		return 11 * distance
	}
	return distance
}

func TestTreeWithChangedByteIsRejected(t *testing.T) {
	whole, path := smallTree(t), filepath.Join(t.TempDir(), "flipped.tree")
	for i := 0; i < len(whole); i += spacing(1) {
		for _, flip := range []byte{1, 0x80, 0xff} {
			whole[i] ^= flip
			if tr, err := openBytes(t, path, whole); err == nil {
				_ = tr.Close()
				t.Fatalf("byte %d flipped by %#x: opened", i, flip)
			}
			whole[i] ^= flip
		}
	}
}

func TestForgedTreeIsHarmless(t *testing.T) {
	whole, path, flows := smallTree(t), filepath.Join(t.TempDir(), "forged.tree"), smallFlows()
	opened := 0
	for word := checkedFrom; word < len(whole); word += spacing(4) {
		old := binary.NativeEndian.Uint32(whole[word:])
		for _, forged := range []uint32{0, 1, old + 1, old - 1, old ^ 0x80, 0x7fffffff, 0xffffffff} {
			binary.NativeEndian.PutUint32(whole[word:], forged)
			repair(whole)
			if tr, err := openBytes(t, path, whole); err == nil {
				opened++
				exercise(tr, flows)
				_ = tr.Close()
			}
		}
		binary.NativeEndian.PutUint32(whole[word:], old)
	}
	if opened == 0 {
		t.Error("no forged tree opened: the checksum was not repaired")
	}
}

// In a table without a free slot, a search for a missing address would never end.
func TestFullTableIsRejected(t *testing.T) {
	for name, table := range map[string]struct{ section, width int }{"IPv4": {2, 2}, "IPv6": {3, 5}} {
		t.Run(name, func(t *testing.T) {
			file, path := smallTree(t), filepath.Join(t.TempDir(), "full.tree")
			word := func(i int) []byte { return file[4*i:] }
			header := 10 + 2*table.section
			first, words := int(binary.NativeEndian.Uint32(word(header))), int(binary.NativeEndian.Uint32(word(header+1)))
			for slot := first; slot < first+words; slot += table.width {
				binary.NativeEndian.PutUint32(word(slot+table.width-1), 3) // this node
			}
			repair(file)
			tr, err := openBytes(t, path, file)
			wantRejected(t, "full", path, tr, err, tree.ErrCorrupt)
		})
	}
}

func TestOtherFilesAreRejected(t *testing.T) {
	dir := t.TempDir()
	forge := func(change func(file []byte)) []byte {
		file := smallTree(t)
		change(file)
		repair(file)
		return file
	}
	tests := map[string]struct {
		file []byte
		want error
	}{
		"empty":         {nil, tree.ErrCorrupt},
		"text":          {[]byte(strings.Repeat("no tree\n", 100)), tree.ErrCorrupt},
		"newer version": {forge(func(file []byte) { binary.NativeEndian.PutUint32(file[8:], 99) }), tree.ErrVersion},
		"other byte order": {forge(func(file []byte) {
			for i := 8; i < len(file); i += 4 {
				binary.LittleEndian.PutUint32(file[i:], binary.BigEndian.Uint32(file[i:]))
			}
		}), tree.ErrByteOrder},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			tr, err := openBytes(t, path, tt.file)
			wantRejected(t, name, path, tr, err, tt.want)
		})
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{fifo: tree.ErrCorrupt, dir: tree.ErrCorrupt, "/dev/null": tree.ErrCorrupt, filepath.Join(dir, "none"): fs.ErrNotExist} {
		tr, err := tree.Open(path)
		wantRejected(t, path, path, tr, err, want)
	}
}

func FuzzOpenEvaluate(f *testing.F) {
	whole, flows := smallTree(f), smallFlows()
	f.Add(uint32(0), []byte(nil), uint32(len(whole)), true)
	f.Add(uint32(40), []byte{1, 0, 0, 0}, uint32(len(whole)), true)
	f.Add(uint32(200), []byte{255}, uint32(len(whole)-64), false)
	path := filepath.Join(f.TempDir(), "fuzzed.tree")
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, length uint32, repaired bool) {
		file := append([]byte(nil), whole[:min(len(whole), int(length))]...)
		if int(at) < len(file) {
			copy(file[at:], patch)
		}
		if repaired {
			repair(file)
		}
		tr, err := openBytes(t, path, file)
		if err != nil {
			return
		}
		defer tr.Close()
		exercise(tr, flows)
	})
}
