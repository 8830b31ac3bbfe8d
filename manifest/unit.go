package manifest

import (
	"bytes"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	kjson "sigs.k8s.io/json"

	"github.com/sluicenet/sluice/inventory"
)

// minimumList is the minimum size, in bytes, of a list that is split into its items.
const minimumList = 64 << 10

// unit is the input of one decoder: a document, a JSON value, or an item from a long list.
type unit struct {
	file  string
	chunk chunk
	// json is true if the chunk is one JSON value.
	json bool
	// If the chunk is an item of a list, listKind is the kind of the list. Otherwise it is
	// empty.
	listKind string
	// If the chunk is an item that was cut out of a document without parsing the document, the
	// field `whole` is this document. Otherwise it is nil. If one of the items is not valid YAML,
	// the whole document is decoded instead of the items.
	whole *chunk
	// If the chunk is a document that begins like JSON but is not valid JSON, jsonError is the
	// syntax error. Otherwise it is nil. Such a document can still be valid YAML.
	jsonError *inventory.Error
	// optional is true if the file can contain documents that are not Kubernetes objects.
	optional bool
}

// decodeSources decodes all files in parallel, and joins the results in the order of the
// input.
func decodeSources(sources []source) (*inventory.Set, inventory.Errors) {
	var units []unit
	var errs inventory.Errors
	for _, s := range sources {
		more, err := split(s)
		units = append(units, more...)
		if err != nil {
			errs = append(errs, err)
		}
	}
	results := make([]decoded, len(units))
	parallel(len(units), func(i int) { results[i] = decodeUnit(units[i]) })
	return join(units, results, errs, sources)
}

// parallel calls work(i) for each number i from 0 to n-1. It distributes the calls to all
// processors, and waits until all calls have returned.
func parallel(n int, work func(i int)) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				work(i)
			}
		})
	}
	wait.Wait()
}

// split splits a file into units.
func split(s source) ([]unit, *inventory.Error) {
	data := bytes.TrimPrefix(s.data, []byte("\xef\xbb\xbf"))
	if err := checkText(s.name, data); err != nil {
		return nil, err
	}
	var units []unit
	for _, document := range documents(data) {
		more, err := s.documentUnits(document)
		units = append(units, more...)
		if err != nil {
			return units, err
		}
	}
	for i := range units {
		units[i].optional = s.optional
	}
	if len(units) == 0 && !s.listed {
		return nil, &inventory.Error{Origin: inventory.Origin{File: s.name}, Message: "is empty; want YAML or JSON with Kubernetes objects"}
	}
	return units, nil
}

// documentUnits splits a document into units. If the name of the file does not end in .json,
// a document that begins like JSON can also be YAML in flow style.
func (s *source) documentUnits(document chunk) ([]unit, *inventory.Error) {
	onlyJSON := filepath.Ext(s.name) == ".json"
	if first := firstContent(document.data); first != '{' && first != '[' && !onlyJSON {
		return yamlUnits(s.name, document, minimumList), nil
	}
	units, err := jsonUnits(s.name, document)
	switch {
	case err == nil:
		return units, nil
	case onlyJSON:
		return nil, err
	default:
		return []unit{{file: s.name, chunk: document, jsonError: err}}, nil
	}
}

// checkText returns an error if the text is not UTF-8 or contains control
// characters that neither YAML nor JSON allows.
func checkText(file string, data []byte) *inventory.Error {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return &inventory.Error{Origin: inventory.Origin{File: file}, Message: "is UTF-16 text; save it as UTF-8 (in PowerShell: kubectl ... | Out-File -Encoding utf8)"}
	}
	at, message := -1, ""
	if i := bytes.IndexFunc(data, isControl); i >= 0 {
		at, message = i, fmt.Sprintf("contains the control character %U; is it text?", data[i])
	}
	if !utf8.Valid(data) {
		if i := invalidUTF8(data); at < 0 || i < at {
			at, message = i, "is not UTF-8 text"
		}
	}
	if at < 0 {
		return nil
	}
	line := 1 + bytes.Count(data[:at], []byte("\n"))
	return &inventory.Error{Origin: inventory.Origin{File: file, Line: line}, Message: message}
}

func isControl(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' }

// invalidUTF8 returns the index of the first byte that does not belong to a valid UTF-8
// character.
func invalidUTF8(data []byte) int {
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return len(data)
}

// yamlUnits splits a YAML document into units. If the document is a list of at least minimum
// bytes, each item becomes a unit. Any other document becomes one unit.
func yamlUnits(file string, document chunk, minimum int) []unit {
	head, items, ok := listItems(document, minimum)
	if ok {
		var list listObject
		if ok = decodeHead(head, &list); ok {
			units := make([]unit, len(items))
			for i, item := range items {
				units[i] = unit{file: file, chunk: item, listKind: list.Kind, whole: &document}
			}
			return units
		}
	}
	return []unit{{file: file, chunk: document}}
}

// decodeHead decodes a document from which listItems has removed the items. It reports
// whether the document is a list.
func decodeHead(head []byte, list *listObject) bool {
	raw, err := yamlToJSON(head, "")
	if err != nil {
		return false
	}
	strictErrs, err := kjson.UnmarshalStrict(raw, list)
	return err == nil && len(strictErrs) == 0 && isList(list.Kind)
}

func decodeUnit(u unit) decoded {
	d := decoder{file: u.file, text: u.chunk.data, line: u.chunk.line, optional: u.optional}
	if u.json {
		d.object(u.chunk.data, nil, itemKind(u.listKind), 0)
	} else {
		d.yaml(u.listKind, u.jsonError)
	}
	return d.out
}
