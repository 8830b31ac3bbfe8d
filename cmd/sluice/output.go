package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// output is the -o flag.
type output struct {
	format string
}

func (o *output) addFlag(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.format, "output", "o", "text", "`format`: text or json")
}

func (o *output) check() error {
	if o.format != "text" && o.format != "json" {
		return wrongf("-o %s: want text or json", o.format)
	}
	return nil
}

func (o *output) json() bool { return o.format == "json" }

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

// terminalWidth gives the width of w in columns, 0 when it is no terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// progress shows what is going on while it does, on a terminal only. The
// returned function ends it and leaves the line empty.
func progress(w io.Writer, what string) (done func()) {
	if terminalWidth(w) == 0 {
		return func() {}
	}
	const clearLine = "\r\x1b[K"
	fmt.Fprintf(w, "%s%s ...", clearLine, what)
	return func() { fmt.Fprint(w, clearLine) }
}
