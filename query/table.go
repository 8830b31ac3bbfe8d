package query

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"math"
)

// defaultWidth is the width of the text of a matrix, in columns, if Matrix.Width is 0.
const defaultWidth = 120

// WriteWide writes the matrix as a table with a name above each column, however wide it is.
func (m *Matrix) WriteWide(out io.Writer) error {
	wide := *m
	wide.Width = math.MaxInt
	return wide.WriteText(out)
}

// WriteText writes the matrix as human-readable text. If a table fits into the width,
// WriteText writes a table. Otherwise it writes a list.
func (m *Matrix) WriteText(out io.Writer) error {
	w := bufio.NewWriter(out)
	port := portText(m.Protocol, m.Port)
	if m.PortName != "" {
		port = fmt.Sprintf("%s port %q of each destination", m.Protocol, m.PortName)
	}
	fmt.Fprintf(w, "Connections on %s, from rows to columns:\n\n", port)
	if err := m.grid.Write(w, cmp.Or(m.Width, defaultWidth)); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	return nil
}
