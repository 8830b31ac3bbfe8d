package query

import (
	"bufio"
	"cmp"
	"fmt"
	"io"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/query/internal/grid"
)

// defaultWidth is the width of the text of a matrix, in columns, if Matrix.Width is 0.
const defaultWidth = 120

// WriteText writes the matrix as human-readable text. If a table fits into the width,
// WriteText writes a table. Otherwise it writes a list.
func (m *Matrix) WriteText(out io.Writer) error {
	w := bufio.NewWriter(out)
	port := portText(m.Protocol, m.Port)
	if m.PortName != "" {
		port = fmt.Sprintf("%s port %q of each destination", m.Protocol, m.PortName)
	}
	fmt.Fprintf(w, "Connections on %s, from rows to columns:\n\n", port)
	m.grid().Write(w, cmp.Or(m.Width, defaultWidth))
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	return nil
}

func (m *Matrix) grid() *grid.Grid {
	names := make([]string, len(m.Ends))
	cells := make([][]grid.Cell, len(m.Ends))
	index := make(map[string]int, len(m.Ends))
	for i, e := range m.Ends {
		index[e.Name], names[i] = i, e.Name
		cells[i] = make([]grid.Cell, len(m.Ends))
	}
	for _, f := range m.Flows {
		c := grid.Denied
		switch {
		case f.Verdict == rule.Allow.String():
			c = grid.Allowed
		case f.Verdict == Mixed && f.Families[0] == "IPv4":
			c = grid.OnlyIPv4
		case f.Verdict == Mixed:
			c = grid.OnlyIPv6
		}
		cells[index[f.From]][index[f.To]] = c
	}
	return grid.New(names, cells)
}
