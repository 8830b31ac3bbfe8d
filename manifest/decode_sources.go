package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	kjson "sigs.k8s.io/json"

	"github.com/sluicenet/sluice/inventory"
)

// unit is one piece of work: a document, or an item of a long list.
type unit struct {
	file  string
	chunk chunk
	// json tells that the chunk is one JSON value.
	json bool
	// listKind is the kind of the list the chunk is an item of, else "".
	listKind string
	// whole is the document the item was cut out of, by looking at lines only.
	// Where an item proves to be no YAML by itself, the document is decoded in
	// one piece instead. nil where nothing was cut.
	whole *chunk
}

// decodeSources decodes all files, as many pieces at once as there are
// processors, and joins them in the order of the input.
func decodeSources(sources []source) (*inventory.Set, inventory.Errors) {
	var units []unit
	var faults inventory.Errors
	for _, s := range sources {
		more, fault := split(s)
		units = append(units, more...)
		if fault != nil {
			faults = append(faults, fault)
		}
	}
	results := make([]decoded, len(units))
	parallel(len(units), func(i int) { results[i] = decodeUnit(units[i]) })
	return join(units, results, faults, sources)
}

// parallel calls work for 0 to n-1.
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

// split cuts a file into units.
func split(s source) ([]unit, *inventory.Error) {
	data := bytes.TrimPrefix(s.data, []byte("\xef\xbb\xbf"))
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, &inventory.Error{Origin: inventory.Origin{File: s.name}, Message: "is UTF-16 text; save it as UTF-8 (in PowerShell: kubectl ... | Out-File -Encoding utf8)"}
	}
	var units []unit
	for _, document := range documents(data) {
		if first := bytes.TrimSpace(document.data)[0]; first == '{' || first == '[' || filepath.Ext(s.name) == ".json" {
			values, syntax := jsonValues(s.name, document)
			if syntax == nil {
				units = append(units, values...)
				continue
			}
			if filepath.Ext(s.name) == ".json" {
				return units, syntax
			}
		}
		units = append(units, yamlUnits(s.name, document)...)
	}
	if len(units) == 0 && !s.listed {
		return nil, &inventory.Error{Origin: inventory.Origin{File: s.name}, Message: "is empty; want YAML or JSON with Kubernetes objects"}
	}
	return units, nil
}

// yamlUnits gives the items of a long list each for itself, any other document
// whole.
func yamlUnits(file string, document chunk) []unit {
	head, items, ok := listItems(document)
	if ok {
		var h header
		raw, err := yamlToJSON(head, "")
		ok = err == nil && kjson.UnmarshalCaseSensitivePreserveInts(raw, &h) == nil && isList(h.Kind)
		if ok {
			units := make([]unit, len(items))
			for i, item := range items {
				units[i] = unit{file: file, chunk: item, listKind: h.Kind, whole: &document}
			}
			return units
		}
	}
	return []unit{{file: file, chunk: document}}
}

// jsonValues cuts a stream of JSON values, and lists into their items.
func jsonValues(file string, document chunk) ([]unit, *inventory.Error) {
	var units []unit
	rest, line := document.data, document.line
	for {
		trimmed := bytes.TrimLeft(rest, " \t\r\n")
		line += bytes.Count(rest[:len(rest)-len(trimmed)], []byte("\n"))
		if len(trimmed) == 0 {
			return units, nil
		}
		rest = trimmed
		stream := json.NewDecoder(bytes.NewReader(rest))
		var list struct {
			Kind  string            `json:"kind"`
			Items []json.RawMessage `json:"items"`
		}
		err := stream.Decode(&list)
		var wrongType *json.UnmarshalTypeError
		if err != nil && !errors.As(err, &wrongType) {
			return nil, jsonFault(file, rest, line, err)
		}
		value := rest[:stream.InputOffset()]
		if err == nil && isList(list.Kind) && len(list.Items) > 0 {
			units = append(units, jsonItems(file, value, line, list.Kind, list.Items)...)
		} else {
			units = append(units, unit{file: file, chunk: chunk{data: value, line: line}, json: true})
		}
		line += bytes.Count(value, []byte("\n"))
		rest = rest[len(value):]
	}
}

// jsonItems finds the items again in the text they were decoded from, for
// their lines.
func jsonItems(file string, value []byte, line int, kind string, items []json.RawMessage) []unit {
	units := make([]unit, 0, len(items))
	for _, item := range items {
		if at := bytes.Index(value, item); at >= 0 {
			line += bytes.Count(value[:at], []byte("\n"))
			value = value[at:]
		}
		units = append(units, unit{file: file, chunk: chunk{data: item, line: line}, json: true, listKind: kind})
		line += bytes.Count(item, []byte("\n"))
		value = value[min(len(item), len(value)):]
	}
	return units
}

func jsonFault(file string, text []byte, line int, err error) *inventory.Error {
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		offset := min(int(syntax.Offset), len(text))
		line += bytes.Count(text[:max(offset-1, 0)], []byte("\n"))
	case errors.Is(err, io.ErrUnexpectedEOF):
		line += bytes.Count(bytes.TrimRight(text, "\r\n"), []byte("\n"))
		err = errors.New("it ends in the middle of a value; is the file cut off?")
	}
	return &inventory.Error{Origin: inventory.Origin{File: file, Line: line}, Message: "no valid JSON: " + err.Error()}
}

func decodeUnit(u unit) decoded {
	d := decoder{file: u.file, text: u.chunk.data, line: u.chunk.line}
	if u.json {
		d.json(u.chunk.data, u.listKind)
	} else {
		d.yaml(u.listKind)
	}
	return d.out
}
