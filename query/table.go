package query

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// defaultWidth is the width of a table in columns if Matrix.Width is 0.
const defaultWidth = 120

// table is the matrix in the form in which WriteText needs it.
type table struct {
	names []string
	// cells is indexed by the source's index in names, then by the destination's
	// index.
	cells [][]cell
	// longest is the length of the longest name. digits is the number of digits of
	// the largest row number.
	longest, digits int
}

func (m *Matrix) table() *table {
	t := &table{cells: make([][]cell, len(m.Ends)), digits: len(strconv.Itoa(len(m.Ends)))}
	index := make(map[string]int, len(m.Ends))
	for i, e := range m.Ends {
		index[e.Name] = i
		t.names = append(t.names, e.Name)
		t.cells[i] = make([]cell, len(m.Ends))
		t.longest = max(t.longest, len(e.Name))
	}
	for _, f := range m.Flows {
		c := denied
		if f.Verdict == rule.Allow.String() {
			c = allowed
		}
		t.cells[index[f.From]][index[f.To]] = c
	}
	return t
}

// WriteText writes the matrix as human-readable text. It chooses the first form
// that fits into the width: a table with a name above each column, or a table with
// a number above each column. If neither fits, it writes one line per source.
func (m *Matrix) WriteText(out io.Writer) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "Connections on %s, from rows to columns:\n\n", portText(m.Protocol, m.Port))
	t, width := m.table(), cmp.Or(m.Width, defaultWidth)
	switch {
	case t.longest+t.columns() <= width:
		t.writeNamed(w)
	case t.digits+1+t.longest+len(t.names)*(t.digits+1) <= width:
		t.writeNumbered(w)
	default:
		t.writeList(w)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	return nil
}

// columns returns the total width of all columns if each has its name above it.
func (t *table) columns() int {
	total := 0
	for _, name := range t.names {
		total += 2 + columnWidth(name)
	}
	return total
}

func columnWidth(name string) int { return max(len(name), len("yes")) }

var words = map[cell]string{notEvaluated: ".", denied: "no", allowed: "yes"}

func (t *table) writeNamed(w io.Writer) {
	row := func(head string, text func(j int) string) {
		line := fmt.Sprintf("%-*s", t.longest, head)
		for j, name := range t.names {
			line += fmt.Sprintf("  %-*s", columnWidth(name), text(j))
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	row("", func(j int) string { return t.names[j] })
	for i, name := range t.names {
		row(name, func(j int) string { return words[t.cells[i][j]] })
	}
}

var marks = map[cell]string{notEvaluated: ".", denied: "-", allowed: "+"}

func (t *table) writeNumbered(w io.Writer) {
	fmt.Fprintf(w, "%*s", t.digits+1+t.longest, "")
	for j := range t.names {
		fmt.Fprintf(w, " %*d", t.digits, j+1)
	}
	fmt.Fprintln(w)
	for i, name := range t.names {
		fmt.Fprintf(w, "%*d %-*s", t.digits, i+1, t.longest, name)
		for j := range t.names {
			fmt.Fprintf(w, " %*s", t.digits, marks[t.cells[i][j]])
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "\n+ allowed, - denied, . not evaluated (the same pod, or no address family in common)")
}

func (t *table) writeList(w io.Writer) {
	for i, name := range t.names {
		fmt.Fprintf(w, "%*d %-*s  allowed to %s\n", t.digits, i+1, t.longest, name, t.destinations(i))
	}
	fmt.Fprintln(w, "\nThe numbers are line numbers. -n NAMESPACE limits the table to fewer pods.")
}

// destinations lists the numbers of the ends to which one end can open connections.
func (t *table) destinations(from int) string {
	var numbers []int
	evaluated := 0
	for j, c := range t.cells[from] {
		if c != notEvaluated {
			evaluated++
		}
		if c == allowed {
			numbers = append(numbers, j+1)
		}
	}
	switch {
	case len(numbers) == 0:
		return "none"
	case len(numbers) == evaluated:
		return "all"
	default:
		return ranges(numbers)
	}
}

// ranges formats ascending numbers in short form: 1, 2, 3 and 7 become "1-3, 7".
func ranges(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		part := strconv.Itoa(numbers[i])
		if j > i {
			part += "-" + strconv.Itoa(numbers[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ", ")
}
