package manifest

import (
	"bytes"
)

// chunk is a part of a file that can be decoded independently of the other parts.
type chunk struct {
	data []byte
	// line is the line of the file on which data begins, counted from 1.
	line int
}

// documents splits a file at the YAML document markers "---" and "...". A marker at the
// beginning of a line always ends the document, because neither a YAML scalar nor a JSON
// string can contain such a line. Documents without content are omitted. A directive, such as
// %YAML, belongs to the document after the directive.
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
		switch text := data[at:next]; {
		case isMarker(text, "---") && !isDirectives(data[start:at]):
			emit(at)
			start, startLine = at+3, line
		case isMarker(text, "...") && !hasContent(text[3:]):
			emit(at)
			start, startLine = next, line+1
		}
		at = next
	}
	emit(len(data))
	return out
}

// lineEnd returns the index of the first byte after the line that contains data[at]. The line
// includes its line break, if any.
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

// hasContent reports whether data contains more than blank lines and comments.
func hasContent(data []byte) bool { return firstContent(data) != 0 }

// isDirectives reports whether data begins with a directive, such as %YAML, and contains no
// marker "---". Blank lines and comments before the directive are ignored.
func isDirectives(data []byte) bool {
	if firstContent(data) != '%' {
		return false
	}
	for at := 0; at < len(data); at = lineEnd(data, at) {
		if isMarker(data[at:lineEnd(data, at)], "---") {
			return false
		}
	}
	return true
}

// firstContent returns the first byte that does not belong to white space or to a comment. If
// there is no such byte, it returns 0.
func firstContent(data []byte) byte {
	for at := 0; at < len(data); at = lineEnd(data, at) {
		text := bytes.TrimLeft(data[at:lineEnd(data, at)], " \t\r\n")
		if len(text) > 0 && text[0] != '#' {
			return text[0]
		}
	}
	return 0
}

// listItems splits a YAML document into its items and the head, which is the document without
// the items. The document must be a list in block style, as kubectl prints lists. If the
// document has another form or is shorter than minimum bytes, ok is false.
//
// listItems checks only the beginnings of lines, so the caller must check that each part is
// valid YAML. For example, a line inside a quoted scalar or a flow collection can look like
// an item. In this case, the part before this line ends in the middle of the scalar or
// collection, so it is not valid YAML. A block scalar cannot contain such a line, because the
// text of a block scalar is indented more deeply than the dash of an item.
func listItems(document chunk, minimum int) (head []byte, items []chunk, ok bool) {
	if len(document.data) < minimum {
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

// isKey reports whether a line begins with a key of the outermost mapping.
func isKey(line []byte) bool {
	c := line[0]
	return c != ' ' && c != '-' && c != '#' && c != '\n' && c != '\r' && c != '\t'
}

// sequence splits a block sequence into its items. An item begins at each dash that is in the
// same column as the first dash.
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
