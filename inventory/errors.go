package inventory

import (
	"fmt"
	"strings"
)

// maxErrorsShown is the maximum number of errors that Errors.Error lists.
const maxErrorsShown = 20

// Origin is the origin of an object or an error: a file and line, or a cluster.
type Origin struct {
	// File is the path of a file, "standard input", or the name of a cluster. The path is the one
	// that the user specified, or the one under which Read found the file in a directory.
	File string
	// Line is the line on which the object or the field begins, counted from 1. If the line
	// is unknown, Line is 0.
	Line int
}

// String returns "file:line". If the line is unknown, it returns only the file.
func (o Origin) String() string {
	if o.Line == 0 {
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// Error is one error in the input.
type Error struct {
	Origin Origin
	// Object is "Kind namespace/name", or "" if the object is unknown.
	Object string
	// Field is the path of the field, such as spec.ingress[0].from[1], or "" if the
	// error does not concern a single field.
	Field string
	// Message describes the error and the fix.
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

// Errors contains all errors in the input, in the order of the input. If there are no errors,
// functions return nil instead of empty Errors.
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
