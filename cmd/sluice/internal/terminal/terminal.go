// Package terminal adapts the output of commands to terminals.
package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Is reports whether a reader is a terminal.
func Is(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Width returns the width of the terminal in columns, or 0 if w is not a terminal.
func Width(w io.Writer) int {
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

// Progress shows the text in the `what` parameter on the terminal while a command works. If w is
// not a terminal, it shows nothing. The returned function removes the text. The function uses no
// escape sequences, because a Windows console interprets them only if a program enables them.
func Progress(w io.Writer, what string) (done func()) {
	if Width(w) == 0 {
		return func() {}
	}
	text := what + " ..."
	fmt.Fprint(w, "\r"+text)
	return func() { fmt.Fprint(w, "\r"+strings.Repeat(" ", len(text))+"\r") }
}
