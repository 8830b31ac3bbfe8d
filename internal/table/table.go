// Package table writes tables as text. All commands use this package, so their tables follow the
// same rules: the heading is in upper case, two spaces separate the columns, words are aligned to
// the left and numbers to the right, and a cell without a value contains None.
package table

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// These are the symbols for verdicts in tables and in the JSON form of a matrix.
const (
	// Allowed and Denied are the symbols for the verdicts Allow and Deny.
	Allowed = '+'
	Denied  = '-'
	// OnlyIPv4 and OnlyIPv6 are the symbols for flows that are allowed only between the addresses of
	// this family.
	OnlyIPv4 = '4'
	OnlyIPv6 = '6'
	// NotEvaluated is the symbol for a flow that was not evaluated.
	NotEvaluated = '.'
)

// None is the content of a cell that has no value.
const None = "."

// gap is the number of spaces between two columns.
const gap = 2

// Table is a table with any number of rows. The zero value is an empty table without a heading.
type Table struct {
	rows  [][]string
	right map[int]bool
	dense bool
}

// New returns a table with a heading. New converts the heading to upper case.
func New(heading ...string) *Table {
	t := &Table{}
	upper := make([]string, len(heading))
	for i, name := range heading {
		upper[i] = strings.ToUpper(name)
	}
	t.rows = append(t.rows, upper)
	return t
}

// Right aligns columns to the right, as is usual for numbers. The first column has the index 0.
func (t *Table) Right(columns ...int) *Table {
	if t.right == nil {
		t.right = map[int]bool{}
	}
	for _, column := range columns {
		t.right[column] = true
	}
	return t
}

// Dense separates the columns with one space instead of two.
func (t *Table) Dense() *Table {
	t.dense = true
	return t
}

// Row adds a row. A row without cells is an empty line.
func (t *Table) Row(cells ...string) *Table {
	t.rows = append(t.rows, cells)
	return t
}

// Width returns the width of the table in characters.
func (t *Table) Width() int {
	total := 0
	for i, width := range t.widths() {
		if i > 0 {
			total += t.gap()
		}
		total += width
	}
	return total
}

// Write writes the table. Each line begins with the indentation, and ends without spaces. An error
// of the writer is returned.
func (t *Table) Write(out io.Writer, indent string) error {
	w := bufio.NewWriter(out)
	widths := t.widths()
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString(strings.Repeat(" ", t.gap()))
			}
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.right[i] {
				line.WriteString(padding + cell)
			} else {
				line.WriteString(cell + padding)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(indent+line.String(), " "))
	}
	return w.Flush()
}

func (t *Table) gap() int {
	if t.dense {
		return 1
	}
	return gap
}

// widths returns the width of each column in characters.
func (t *Table) widths() []int {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// Cell returns a text as the content of a cell: None if the text is empty.
func Cell(text string) string {
	if text == "" {
		return None
	}
	return text
}
