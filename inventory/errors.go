package inventory

import (
	"fmt"
	"strings"
)

// maxErrorsShown is the number of errors that one message lists.
const maxErrorsShown = 20

// Origin is the place of an object or an error in the input.
type Origin struct {
	// File is the path as it was given or found, "standard input", or the name
	// of a cluster.
	File string
	// Line is the line on which the object or the field begins, counted from 1.
	// 0 means unknown.
	Line int
}

// String returns "file:line", or only the file if the line is unknown.
func (o Origin) String() string {
	if o.Line == 0 {
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// Error is one error in the input.
type Error struct {
	Origin Origin
	// Object is "Kind namespace/name", or "" if it is unknown.
	Object string
	// Field is the path of the field, such as spec.ingress[0].from[1], or "".
	Field string
	// Message describes the error and how to fix it.
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

// Errors are all errors in the input, in the order of the input. It is never
// empty when it is returned as an error.
type Errors []*Error

// Error lists the first twenty errors, one per line.
func (e Errors) Error() string {
	lines := make([]string, 0, maxErrorsShown+1)
	for i, err := range e {
		if i == maxErrorsShown {
			lines = append(lines, fmt.Sprintf("and %d more", len(e)-i))
			break
		}
		lines = append(lines, err.Error())
	}
	return strings.Join(lines, "\n")
}
