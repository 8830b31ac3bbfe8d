package manifest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// objectName matches the unique names of the objects that a generator writes.
var objectName = regexp.MustCompile(`\bobject-[0-9]+-end\b`)

// generator writes random inputs. Each input consists of valid objects in various formats.
// The generator damages some of the inputs.
type generator struct {
	*rand.Rand
	objects int
}

// object returns a Namespace or a NetworkPolicy as JSON, on one or more lines.
func (g *generator) object() string {
	g.objects++
	spec := ""
	kind := "Namespace"
	version := "v1"
	if g.IntN(2) == 0 {
		kind, version, spec = "NetworkPolicy", "networking.k8s.io/v1", `,"spec":{"podSelector":{}}`
	}
	text := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"object-%d-end"}%s}`, version, kind, g.objects, spec)
	if g.IntN(2) == 0 {
		var indented bytes.Buffer
		if json.Indent(&indented, []byte(text), "", "  ") == nil {
			return indented.String()
		}
	}
	return text
}

// block returns an object as YAML in block style.
func (g *generator) block() string {
	text := g.object()
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	out, err := yaml.Marshal(v)
	if err != nil {
		return text
	}
	return strings.TrimSuffix(string(out), "\n")
}

// piece returns one or two objects in a randomly chosen manifest format.
func (g *generator) piece() string {
	switch g.IntN(5) {
	case 0:
		return g.object()
	case 1:
		return g.block()
	case 2:
		return `{"apiVersion":"v1","kind":"List","items":[` + g.object() + ",\n" + g.object() + "]}"
	case 3:
		return "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(g.block(), "\n", "\n  ") + "\n- " + strings.ReplaceAll(g.block(), "\n", "\n  ")
	default:
		return "{apiVersion: v1, kind: Namespace, metadata: {name: " + fmt.Sprintf("object-%d-end", g.IntN(1000)+1000) + "}}"
	}
}

// The generator writes a separator after each piece of the input. It then damages some inputs:
// it inserts texts from the list `noise` at random positions.
var (
	separators = []string{"\n---\n", "\n---\n", "\n--- \n", "\n...\n---\n", "\n", "", " ", "\r\n---\r\n", "\n...\n", "\r---\r", "\n--- # note\n", "\u0085---\u0085", "\n%YAML 1.1\n---\n", "\n\ufeff---\n"}
	noise      = []string{"\noops\n", "\nWarning: old\n", "}", "]", "{", "\x00", "\ufeff", "---\n", "...", "\n... x\n", "\t", " ", "\r", "\u0085", "\n%oops\n", ",", "'", "\xff", "\n- ", "\n  ", "\u2028"}
)

func (g *generator) text() string {
	var b strings.Builder
	for range 1 + g.IntN(4) {
		b.WriteString(g.piece())
		b.WriteString(separators[g.IntN(len(separators))])
	}
	text := b.String()
	for range g.IntN(3) {
		at := g.IntN(len(text) + 1)
		text = text[:at] + noise[g.IntN(len(noise))] + text[at:]
	}
	if g.IntN(4) == 0 {
		text = text[:g.IntN(len(text)+1)]
	}
	return text
}

// checkComplete calls Read with the text. If Read returns an error, checkComplete returns
// false. Otherwise it checks that Read has returned or skipped each object whose name is in the
// text, and returns true.
func checkComplete(t *testing.T, text string) bool {
	t.Helper()
	set, err := read(text)
	if err != nil {
		return false
	}
	found := map[string]bool{}
	for _, n := range set.Namespaces {
		found[n.Name] = true
	}
	for _, p := range set.Policies {
		found[p.Name] = true
	}
	skipped := 0
	for _, s := range set.Skipped {
		skipped += s.Count
	}
	for _, name := range objectName.FindAllString(text, -1) {
		if found[name] {
			continue
		}
		found[name] = true
		if skipped--; skipped < 0 {
			t.Errorf("read without %s:\n%q", name, text)
		}
	}
	return true
}

// TestReadIsComplete checks with random inputs that Read either returns all objects of the
// input or returns an error.
func TestReadIsComplete(t *testing.T) {
	g := generator{Rand: rand.New(rand.NewPCG(1, 2))}
	complete := 0
	for range 5_000 {
		if checkComplete(t, g.text()) {
			complete++
		}
	}
	if complete < 500 {
		t.Errorf("only %d inputs were read without an error", complete)
	}
}

// FuzzReadIsComplete performs the same check as TestReadIsComplete. The fuzzer chooses the
// seeds of the generator.
func FuzzReadIsComplete(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		g := generator{Rand: rand.New(rand.NewPCG(a, b))}
		checkComplete(t, g.text())
	})
}

// FuzzReadWholeStream compares Read with independent parsers. If Read returns no error for a text,
// the whole text must be a stream of JSON values or of YAML documents that one of the parsers can
// read. Read and this parser must find the same number of objects.
func FuzzReadWholeStream(f *testing.F) {
	for _, seed := range []string{
		podYAML + "---\n" + policyYAML, "{}\noops", "kind: List\napiVersion: v1\nitems: []\n---\n" + podYAML, "... x\n" + podYAML,
		"%YAML 1.1\n---\n" + podYAML, "\ufeff" + podYAML, podYAML + "\r---\r" + podYAML, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}` + "\n# note",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := read(text)
		if err != nil {
			return
		}
		objects, ok := jsonStream(text)
		if !ok {
			if objects, ok = yamlStream(text); !ok && !strings.Contains(text, "---") {
				t.Fatalf("read text that is neither a stream of JSON nor of YAML: %q", text)
			}
		}
		read := len(names(set)) + len(set.Duplicates)
		for _, s := range set.Skipped {
			read += s.Count
		}
		if ok && objects != read {
			t.Fatalf("read %d objects, the stream has %d: %q", read, objects, text)
		}
	})
}

// jsonStream returns the number of objects in a stream of JSON values. If the text is not
// such a stream, ok is false.
func jsonStream(text string) (objects int, ok bool) {
	decoder := json.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	for {
		var v any
		err := decoder.Decode(&v)
		if errors.Is(err, io.EOF) {
			return objects, true
		}
		if err != nil {
			return 0, false
		}
		objects += countObjects(v)
	}
}

// yamlStream returns the number of objects in a stream of YAML documents. If the text is not
// such a stream, ok is false.
func yamlStream(text string) (objects int, ok bool) {
	decoder := yaml.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	for {
		var v any
		err := decoder.Decode(&v)
		if errors.Is(err, io.EOF) {
			return objects, true
		}
		if err != nil {
			return 0, false
		}
		objects += countObjects(v)
	}
}

// countObjects returns the number of objects in a decoded value. For a list, this is the
// number of objects in the list, including objects in nested lists. Any other object counts
// as 1.
func countObjects(v any) int {
	object, ok := v.(map[string]any)
	if !ok {
		return 0
	}
	kind, _ := object["kind"].(string)
	if !slices.Contains([]string{"List", "PodList", "NamespaceList", "NodeList", "NetworkPolicyList"}, kind) {
		return 1
	}
	count := 0
	items, _ := object["items"].([]any)
	for _, item := range items {
		if item != nil {
			count += countObjects(item)
		}
	}
	return count
}
