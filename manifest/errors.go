package manifest

import (
	"fmt"
	"strings"
)

// errorsShown bounds how many faults one message lists.
const errorsShown = 20

// Origin says where an object or a fault stands.
type Origin struct {
	// File is the path as it was given or found, or "standard input".
	File string
	// Line is the line the object or the field begins at, from 1. 0 is unknown.
	Line int
}

// String gives "file:line", or the file alone where no line is known.
func (o Origin) String() string {
	if o.Line == 0 {
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// Error is one fault of the input.
type Error struct {
	Origin Origin
	// Object is "Kind namespace/name" as far as it is known, else "".
	Object string
	// Field is the path of the field, such as spec.ingress[0].from[1], else "".
	Field string
	// Message says what is wrong and how to mend it.
	Message string
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Origin.String())
	for _, s := range []string{e.Object, e.Field, e.Message} {
		if s != "" {
			b.WriteString(": ")
			b.WriteString(s)
		}
	}
	return b.String()
}

// Errors are all faults of the input, in the order of the input. Never empty
// when returned as an error.
type Errors []*Error

// Error lists the faults one per line, the first twenty of them.
func (e Errors) Error() string {
	lines := make([]string, 0, errorsShown+1)
	for i, err := range e {
		if i == errorsShown {
			lines = append(lines, fmt.Sprintf("and %d more", len(e)-i))
			break
		}
		lines = append(lines, err.Error())
	}
	return strings.Join(lines, "\n")
}
