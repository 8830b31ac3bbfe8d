package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// results contains the output of `go test -bench` as one table for each package.
type results struct {
	cpu    string
	tables []*table
}

// table contains the results of the benchmarks in one package.
type table struct {
	name  string
	units []string // sorted: ns/op, B/op, allocs/op, then the other units in the order of the output
	rows  []*row
}

// row contains the results of one benchmark. For each unit, it contains the values of all runs.
type row struct {
	name   string
	values map[string][]float64
}

// parse parses the output of go test. A result is a line such as
//
//	BenchmarkLookup/pods=1000-2   8301   143.2 ns/op   0 B/op   0 allocs/op
func parse(output string) results {
	var r results
	t := &table{}
	for line := range strings.Lines(output) {
		if cpu, ok := strings.CutPrefix(line, "cpu: "); ok {
			r.cpu = strings.TrimSpace(cpu)
		}
		if name, ok := strings.CutPrefix(line, "pkg: "); ok {
			t = &table{name: strings.TrimSpace(name)}
		}
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		if _, err := strconv.Atoi(fields[1]); err != nil {
			continue
		}
		if len(t.rows) == 0 {
			r.tables = append(r.tables, t)
		}
		t.add(fields)
	}
	for _, t := range r.tables {
		t.sortUnits()
	}
	return r
}

// add adds the values of one output line. The `fields` parameter contains the fields of this
// line.
func (t *table) add(fields []string) {
	row := t.row(benchmarkName(fields[0]))
	for i := 2; i+1 < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			break
		}
		unit := fields[i+1]
		row.values[unit] = append(row.values[unit], value)
		if !slices.Contains(t.units, unit) {
			t.units = append(t.units, unit)
		}
	}
}

// sortUnits moves the units ns/op, B/op and allocs/op to the front.
func (t *table) sortUnits() {
	own := []string{"ns/op", "B/op", "allocs/op"}
	place := func(unit string) int {
		if i := slices.Index(own, unit); i >= 0 {
			return i
		}
		return len(own)
	}
	slices.SortStableFunc(t.units, func(a, b string) int { return place(a) - place(b) })
}

// benchmarkName removes the prefix "Benchmark" and the CPU count at the end of a
// name: "BenchmarkLookup-2" becomes "Lookup".
func benchmarkName(field string) string {
	name := strings.TrimPrefix(field, "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i >= 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			name = name[:i]
		}
	}
	return name
}

func (t *table) row(name string) *row {
	for _, row := range t.rows {
		if row.name == name {
			return row
		}
	}
	added := &row{name: name, values: make(map[string][]float64)}
	t.rows = append(t.rows, added)
	return added
}

// print prints a table for each package.
func (r *results) print(w io.Writer) error {
	for _, t := range r.tables {
		if _, err := fmt.Fprintf(w, "\n%s\n", t.name); err != nil {
			return err
		}
		if err := t.print(w); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) print(w io.Writer) error {
	lines := [][]string{{"benchmark"}}
	for _, unit := range t.units {
		lines[0] = append(lines[0], heading(unit))
	}
	for _, row := range t.rows {
		line := []string{row.name}
		for _, unit := range t.units {
			line = append(line, row.cell(unit))
		}
		lines = append(lines, line)
	}
	return printColumns(w, lines, true)
}

// printColumns prints lines of cells in aligned columns. The first column is left-aligned. The
// other columns are right-aligned if the `numbers` parameter is true.
func printColumns(w io.Writer, lines [][]string, numbers bool) error {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		text := fmt.Sprintf("%-*s", widths[0], line[0])
		for i, cell := range line[1:] {
			width := widths[i+1]
			if !numbers {
				width = -width
			}
			text += fmt.Sprintf("  %*s", width, cell)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(text, " ")); err != nil {
			return err
		}
	}
	return nil
}

func (r *row) cell(unit string) string {
	values := r.values[unit]
	if len(values) == 0 {
		return ""
	}
	return cellText(unit, median(values))
}

// cellText formats a value for a cell and chooses a suitable unit. For example, it formats 1200000
// ns as "1.2 ms".
func cellText(unit string, value float64) string {
	switch {
	case isTime(unit):
		return scaled(value, []string{"ns", "µs", "ms", "s"})
	case isMemory(unit):
		return scaled(value, []string{"B", "kB", "MB", "GB"})
	case value == float64(int64(value)):
		return strconv.FormatInt(int64(value), 10)
	case value < 10:
		return strconv.FormatFloat(value, 'f', 2, 64)
	default:
		return strconv.FormatFloat(value, 'f', 1, 64)
	}
}

func isTime(unit string) bool { return strings.HasSuffix(unit, "ns/op") }

func isMemory(unit string) bool { return unit == "B/op" || strings.HasSuffix(unit, "-bytes") }

// heading returns the column heading for a unit. Each cell of the column shows its own unit, such
// as ms, so the heading for ns/op is "time/op".
func heading(unit string) string {
	switch {
	case isTime(unit):
		return strings.TrimSuffix(unit, "ns/op") + "time/op"
	case unit == "B/op":
		return "memory/op"
	default:
		return strings.TrimSuffix(unit, "-bytes")
	}
}

// scaled converts a value to the largest unit in which the value is at least 1, and formats it
// with up to three significant digits. The value is given in units[0]. Each unit is 1000 times the
// previous one.
func scaled(value float64, units []string) string {
	unit := 0
	for value >= 1000 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	digits := 2
	if value >= 100 || value == float64(int64(value)) {
		digits = 0
	} else if value >= 10 {
		digits = 1
	}
	return strconv.FormatFloat(value, 'f', digits, 64) + " " + units[unit]
}

// median returns the median of the values. It sorts the values in place.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}
