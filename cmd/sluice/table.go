package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// defaultWidth is the width of a table that goes to no terminal, in columns.
const defaultWidth = 120

// table is a matrix with pods put together.
type table struct {
	protocol flow.Protocol
	port     int
	lines    []tableLine
	// cells[from][to] are by line.
	cells [][]cell
}

// tableLine is one row and one column.
type tableLine struct {
	name string
	// pods are the names of the pods; empty for an address.
	pods []string
}

// newTable puts the pods of a workload together where no cell tells them apart.
func newTable(ends []matrixEnd, cells [][]cell, protocol flow.Protocol, port int) *table {
	t := &table{protocol: protocol, port: port}
	members := map[string][]int{}
	for i, e := range ends {
		if e.workload != "" {
			members[e.workload] = append(members[e.workload], i)
		}
	}
	var first []int
	for i, e := range ends {
		group := members[e.workload]
		switch {
		case len(group) < 2 || !alike(cells, group):
			line := tableLine{name: e.name}
			if e.workload != "" {
				line.pods = []string{e.name}
			}
			t.lines, first = append(t.lines, line), append(first, i)
		case group[0] == i:
			line := tableLine{name: fmt.Sprintf("%s (%d)", e.workload, len(group))}
			for _, j := range group {
				line.pods = append(line.pods, ends[j].name)
			}
			t.lines, first = append(t.lines, line), append(first, i)
		}
	}
	for i, from := range first {
		row := make([]cell, len(first))
		for j, to := range first {
			row[j] = cells[from][to]
			if group := members[ends[from].workload]; i == j && len(t.lines[i].pods) > 1 {
				row[j] = cells[group[0]][group[1]]
			}
		}
		t.cells = append(t.cells, row)
	}
	return t
}

// alike reports whether the pods of a group reach and are reached alike, each
// other included.
func alike(cells [][]cell, group []int) bool {
	inside := make(map[int]bool, len(group))
	for _, i := range group {
		inside[i] = true
	}
	a := group[0]
	for _, b := range group {
		for _, other := range group {
			if b != other && cells[b][other] != cells[group[0]][group[1]] {
				return false
			}
		}
		for j := range cells {
			if !inside[j] && (cells[a][j] != cells[b][j] || cells[j][a] != cells[j][b]) {
				return false
			}
		}
	}
	return true
}

// matrixReport is the JSON that matrix writes.
type matrixReport struct {
	Protocol string       `json:"protocol"`
	Port     *int         `json:"port"`
	Ends     []reportEnd  `json:"ends"`
	Flows    []reportFlow `json:"flows"`
}

type reportEnd struct {
	Name string   `json:"name"`
	Pods []string `json:"pods,omitempty"`
}

type reportFlow struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Verdict string `json:"verdict"`
}

func (t *table) report() matrixReport {
	r := matrixReport{Protocol: t.protocol.String(), Flows: []reportFlow{}}
	if t.protocol.HasPorts() {
		r.Port = &t.port
	}
	for i, line := range t.lines {
		r.Ends = append(r.Ends, reportEnd{Name: line.name, Pods: line.pods})
		for j, c := range t.cells[i] {
			switch c {
			case allowed:
				r.Flows = append(r.Flows, reportFlow{From: line.name, To: t.lines[j].name, Verdict: "Allow"})
			case refused:
				r.Flows = append(r.Flows, reportFlow{From: line.name, To: t.lines[j].name, Verdict: "Deny"})
			}
		}
	}
	return r
}

// write writes the table as it fits: with names over the columns, with numbers
// over them, or as a list of numbers for each line.
func (t *table) write(out io.Writer) error {
	w := bufio.NewWriter(out)
	width := cmp.Or(terminalWidth(out), defaultWidth)
	what := t.protocol.String()
	if t.protocol.HasPorts() {
		what = fmt.Sprintf("%s port %d", t.protocol, t.port)
	}
	fmt.Fprintf(w, "Who reaches whom on %s; rows open the connection:\n\n", what)
	names := make([]string, len(t.lines))
	longest, total := 0, 0
	for i, line := range t.lines {
		names[i] = line.name
		longest = max(longest, len(line.name))
		total += max(len(line.name), len("yes")) + 2
	}
	digits := len(strconv.Itoa(len(names)))
	switch {
	case longest+total <= width:
		t.named(w, names, longest)
	case digits+1+longest+len(names)*(max(digits, 1)+1) <= width:
		t.numbered(w, names, longest, digits)
	default:
		t.listed(w, names, longest, digits)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	return nil
}

func (t *table) named(w io.Writer, names []string, longest int) {
	row := func(head string, text func(j int) string) {
		line := fmt.Sprintf("%-*s", longest, head)
		for j, name := range names {
			line += fmt.Sprintf("  %-*s", max(len(name), len("yes")), text(j))
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	row("", func(j int) string { return names[j] })
	for i, name := range names {
		row(name, func(j int) string { return t.cells[i][j].String() })
	}
}

// marks are the cells of a table with numbered columns.
var marks = map[cell]string{none: ".", refused: "-", allowed: "+"}

func (t *table) numbered(w io.Writer, names []string, longest, digits int) {
	fmt.Fprintf(w, "%*s", digits+1+longest, "")
	for j := range names {
		fmt.Fprintf(w, " %*d", digits, j+1)
	}
	fmt.Fprintln(w)
	for i, name := range names {
		fmt.Fprintf(w, "%*d %-*s", digits, i+1, longest, name)
		for j := range names {
			fmt.Fprintf(w, " %*s", digits, marks[t.cells[i][j]])
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "\n+ reaches, - does not, . itself")
}

func (t *table) listed(w io.Writer, names []string, longest, digits int) {
	for i, name := range names {
		var reached []int
		judged := 0
		for j, c := range t.cells[i] {
			if c != none {
				judged++
			}
			if c == allowed {
				reached = append(reached, j+1)
			}
		}
		text := "none"
		switch {
		case len(reached) == judged && judged > 0:
			text = "all"
		case len(reached) > 0:
			text = ranges(reached)
		}
		fmt.Fprintf(w, "%*d %-*s  reaches %s\n", digits, i+1, longest, name, text)
	}
	fmt.Fprintln(w, "\nThe numbers are those of the lines. -n NAMESPACE narrows the table to one that fits.")
}

// ranges writes ascending numbers short: 1-3, 7.
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

// comparePods orders pods as people count: web-2 before web-10.
func comparePods(a, b string) int {
	headA, numberA := trailingNumber(a)
	headB, numberB := trailingNumber(b)
	return cmp.Or(cmp.Compare(headA, headB), cmp.Compare(numberA, numberB), cmp.Compare(a, b))
}

func trailingNumber(name string) (head string, number int) {
	at := strings.LastIndexByte(name, '-')
	if n, err := strconv.Atoi(name[at+1:]); at >= 0 && err == nil && n >= 0 {
		return name[:at], n
	}
	return name, -1
}
