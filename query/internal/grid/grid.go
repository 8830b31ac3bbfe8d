// Package grid writes the verdicts for the flows between many ends as text.
package grid

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Cell is the verdict for the flows from one end to another, or NotEvaluated.
type Cell byte

// These are the values of a cell.
const (
	// NotEvaluated means that both ends are the same pod or have no common address
	// family.
	NotEvaluated Cell = iota
	Denied
	Allowed
	// OnlyIPv4 and OnlyIPv6 mean that the flow is allowed between the addresses of one family, and
	// denied between the addresses of the other family.
	OnlyIPv4
	OnlyIPv6
)

// Grid contains the names of the ends, and the verdicts for the flows between the ends.
type Grid struct {
	names []string
	// The first index of `cells` is the source, and the second index is the destination. Both
	// refer to the list `names`.
	cells [][]Cell
	// The field `longest` is the length of the longest name. The field `digits` is the number of
	// digits of the largest row number.
	longest, digits int
}

// New returns a grid. The first index of `cells` is the source, and the second index is the
// destination. Both refer to the list `names`.
func New(names []string, cells [][]Cell) *Grid {
	g := &Grid{names: names, cells: cells, digits: len(strconv.Itoa(len(names)))}
	for _, name := range names {
		g.longest = max(g.longest, len(name))
	}
	return g
}

// Write writes a table if it fits into the width, and otherwise a list with one line per
// source. The heading of each column is a name if the names fit, and otherwise a number.
func (g *Grid) Write(w io.Writer, width int) {
	switch {
	case g.longest+g.columns() <= width:
		g.writeNamed(w)
	case g.digits+1+g.longest+len(g.names)*(g.digits+1) <= width:
		g.writeNumbered(w)
	default:
		g.writeList(w)
	}
}

// columns returns the total width of all columns of a table with a name above each column.
func (g *Grid) columns() int {
	total := 0
	for _, name := range g.names {
		total += 2 + columnWidth(name)
	}
	return total
}

func columnWidth(name string) int { return max(len(name), len("IPv4")) }

var words = map[Cell]string{NotEvaluated: ".", Denied: "no", Allowed: "yes", OnlyIPv4: "IPv4", OnlyIPv6: "IPv6"}

func (g *Grid) writeNamed(w io.Writer) {
	row := func(head string, text func(j int) string) {
		line := fmt.Sprintf("%-*s", g.longest, head)
		for j, name := range g.names {
			line += fmt.Sprintf("  %-*s", columnWidth(name), text(j))
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	row("", func(j int) string { return g.names[j] })
	for i, name := range g.names {
		row(name, func(j int) string { return words[g.cells[i][j]] })
	}
	if g.contains(OnlyIPv4) || g.contains(OnlyIPv6) {
		fmt.Fprintln(w, "\nIPv4 or IPv6: allowed only between the addresses of this family")
	}
}

func (g *Grid) contains(c Cell) bool {
	return slices.ContainsFunc(g.cells, func(row []Cell) bool { return slices.Contains(row, c) })
}

var marks = map[Cell]string{NotEvaluated: ".", Denied: "-", Allowed: "+", OnlyIPv4: "4", OnlyIPv6: "6"}

func (g *Grid) writeNumbered(w io.Writer) {
	fmt.Fprintf(w, "%*s", g.digits+1+g.longest, "")
	for j := range g.names {
		fmt.Fprintf(w, " %*d", g.digits, j+1)
	}
	fmt.Fprintln(w)
	for i, name := range g.names {
		fmt.Fprintf(w, "%*d %-*s", g.digits, i+1, g.longest, name)
		for j := range g.names {
			fmt.Fprintf(w, " %*s", g.digits, marks[g.cells[i][j]])
		}
		fmt.Fprintln(w)
	}
	families := ""
	if g.contains(OnlyIPv4) || g.contains(OnlyIPv6) {
		families = " 4 only IPv4, 6 only IPv6,"
	}
	fmt.Fprintf(w, "\n+ allowed, - denied,%s . not evaluated (the same pod, no address family in common, or no such port)\n", families)
}

func (g *Grid) writeList(w io.Writer) {
	for i, name := range g.names {
		fmt.Fprintf(w, "%*d %-*s  allowed to %s\n", g.digits, i+1, g.longest, name, g.destinations(i))
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
