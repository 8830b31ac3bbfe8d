package manifest

import (
	"bytes"
)

// chunk is a piece of a source that can be decoded by itself.
type chunk struct {
	data []byte
	// line is the source's line that data begins at, from 1.
	line int
}

// documents splits a YAML stream at its document markers. A marker at the
// beginning of a line is one wherever it stands: YAML allows no scalar to hold
// it there, and JSON no string to hold a line break. Documents without content
// are left out.
func documents(data []byte) []chunk {
	var out []chunk
	start, line, startLine := 0, 1, 1
	emit := func(end int) {
		if part := data[start:end]; hasContent(part) {
			out = append(out, chunk{data: part, line: startLine})
		}
	}
	for at := 0; at < len(data); line++ {
		next := lineEnd(data, at)
		if marker := data[at:next]; isMarker(marker, "---") {
			emit(at)
			start, startLine = at+3, line
		} else if isMarker(marker, "...") {
			emit(at)
			start, startLine = next, line+1
		}
		at = next
	}
	emit(len(data))
	return out
}

// lineEnd gives the index behind the line break that ends the line at.
func lineEnd(data []byte, at int) int {
	if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(data)
}

func isMarker(line []byte, marker string) bool {
	if !bytes.HasPrefix(line, []byte(marker)) {
		return false
	}
	return len(line) == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\n' || line[3] == '\r'
}

// hasContent reports whether there is more than blank lines, comments and
// directives.
func hasContent(data []byte) bool {
	for at := 0; at < len(data); {
		next := lineEnd(data, at)
		text := bytes.TrimSpace(data[at:next])
		if len(text) > 0 && text[0] != '#' && data[at] != '%' {
			return true
		}
		at = next
	}
	return false
}

// listItems splits a YAML document that is a list in block style, as kubectl
// writes it, into the document without its items and the items. It looks at
// lines only, so each part must still prove to be YAML by itself: a line that
// looks like an item but lies inside a quoted scalar or a flow collection
// leaves two parts that cannot be parsed. A block scalar cannot hold such a
// line, because its text is indented deeper than the dash. ok is false when the
// document is no such list or too small to bother.
func listItems(document chunk) (head []byte, items []chunk, ok bool) {
	const worthwhile = 64 << 10
	if len(document.data) < worthwhile {
		return nil, nil, false
	}
	data := document.data
	begin, end, beginLine := -1, len(data), 0
	for at, line := 0, document.line; at < len(data); line++ {
		next := lineEnd(data, at)
		switch {
		case begin < 0 && bytes.Equal(bytes.TrimRight(data[at:next], " \r\n"), []byte("items:")):
			begin, beginLine = next, line+1
		case begin >= 0 && end == len(data) && isKey(data[at:next]):
			end = at
		case bytes.HasPrefix(data[at:next], []byte("items")):
			return nil, nil, false
		}
		at = next
	}
	if begin < 0 {
		return nil, nil, false
	}
	items, ok = sequence(data[begin:end], beginLine)
	if !ok {
		return nil, nil, false
	}
	head = bytes.Join([][]byte{data[:begin], data[end:]}, nil)
	return head, items, true
}

// isKey reports whether a line begins a key of the outermost mapping.
func isKey(line []byte) bool {
	c := line[0]
	return c != ' ' && c != '-' && c != '#' && c != '\n' && c != '\r' && c != '\t'
}

// sequence splits a block sequence at the dashes of its first item's column.
func sequence(data []byte, line int) (items []chunk, ok bool) {
	column, start := -1, 0
	for at, n := 0, line; at < len(data); n++ {
		next := lineEnd(data, at)
		text := data[at:next]
		indent := len(text) - len(bytes.TrimLeft(text, " "))
		rest := text[indent:]
		dash := len(rest) > 1 && rest[0] == '-' && rest[1] == ' '
		switch {
		case column < 0 && dash:
			column, start = indent, at
			items = append(items, chunk{line: n})
		case column < 0 && len(bytes.TrimSpace(rest)) > 0 && rest[0] != '#':
			return nil, false
		case dash && indent == column:
			items[len(items)-1].data = data[start:at]
			items = append(items, chunk{line: n})
			start = at
		}
		at = next
	}
	if column < 0 {
		return nil, false
	}
	items[len(items)-1].data = data[start:]
	return items, true
}
