// Package grid writes the verdicts for the flows between many ends as text.
package grid

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/internal/table"
)

// Cell is the verdict for the flows from one end to another, or NotEvaluated. Its value is the
// symbol that tables and JSON contain.
type Cell byte

// These are the values of a cell.
const (
	// NotEvaluated means that both ends are the same pod or have no common address
	// family.
	NotEvaluated Cell = table.NotEvaluated
	Denied       Cell = table.Denied
	Allowed      Cell = table.Allowed
	// OnlyIPv4 and OnlyIPv6 mean that the flow is allowed between the addresses of one family, and
	// denied between the addresses of the other family.
	OnlyIPv4 Cell = table.OnlyIPv4
	OnlyIPv6 Cell = table.OnlyIPv6
)

// Grid contains the names of the ends, and the verdicts for the flows between the ends.
type Grid struct {
	names []string
	// The first index of `cells` is the source, and the second index is the destination. Both
	// refer to the list `names`.
	cells [][]Cell
}

// Write writes a table if it fits into the width, and otherwise a list with one line per
// source. The heading of each column is a name if the names fit, and otherwise a number.
func (g *Grid) Write(w io.Writer, width int) error {
	for _, t := range []*table.Table{g.named(), g.numbered()} {
		if t.Width() > width {
			continue
		}
		if err := t.Write(w, ""); err != nil {
			return err
		}
		_, err := fmt.Fprint(w, "\n", g.legend())
		return err
	}
	g.writeList(w)
	return nil
}

// named returns a table with a name above each column.
func (g *Grid) named() *table.Table {
	t := new(table.Table)
	t.Row(append([]string{""}, g.names...)...)
	for i, name := range g.names {
		t.Row(append([]string{name}, g.symbols(i)...)...)
	}
	return t
}

// numbered returns a table with the number of a row above each column.
func (g *Grid) numbered() *table.Table {
	t := new(table.Table).Dense()
	head := []string{"", ""}
	for j := range g.names {
		t.Right(len(head))
		head = append(head, strconv.Itoa(j+1))
	}
	t.Right(0).Row(head...)
	for i, name := range g.names {
		t.Row(append([]string{strconv.Itoa(i + 1), name}, g.symbols(i)...)...)
	}
	return t
}

// symbols returns the symbols of a row.
func (g *Grid) symbols(row int) []string {
	texts := make([]string, len(g.cells[row]))
	for j, c := range g.cells[row] {
		texts[j] = string(rune(c))
	}
	return texts
}

func (g *Grid) contains(c Cell) bool {
	return slices.ContainsFunc(g.cells, func(row []Cell) bool { return slices.Contains(row, c) })
}

// legend explains the symbols.
func (g *Grid) legend() string {
	families := ""
	if g.contains(OnlyIPv4) || g.contains(OnlyIPv6) {
		families = " 4 allowed only over IPv4, 6 allowed only over IPv6,"
	}
	return fmt.Sprintf("+ allowed, - denied,%s . not evaluated (the same pod, no address family in common, or no such port)\n", families)
}

func (g *Grid) writeList(w io.Writer) {
	digits, longest := len(strconv.Itoa(len(g.names))), 0
	for _, name := range g.names {
		longest = max(longest, len(name))
	}
	for i, name := range g.names {
		fmt.Fprintf(w, "%*d %-*s  allowed to %s\n", digits, i+1, longest, name, g.destinations(i))
	}
	if g.contains(OnlyIPv4) || g.contains(OnlyIPv6) {
		fmt.Fprintln(w, "\nSome of these flows are allowed only between the addresses of one family; -o json lists them.")
	}
	fmt.Fprintln(w, "\nThe numbers are line numbers. -n NAMESPACE limits the table to fewer pods.")
}

// destinations lists the ends to which the end with the index `from` can open connections. It
// identifies each end by its row number. The result can also be "all" or "none".
func (g *Grid) destinations(from int) string {
	var numbers []int
	evaluated := 0
	for j, c := range g.cells[from] {
		if c != NotEvaluated {
			evaluated++
		}
		if c == Allowed || c == OnlyIPv4 || c == OnlyIPv6 {
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

// ranges formats ascending numbers in short form. For example, it formats 1, 2, 3 and 7 as
// "1-3, 7".
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
