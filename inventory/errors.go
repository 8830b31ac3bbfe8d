package inventory

import (
	"fmt"
	"strings"
)

// maxErrorsShown is the maximum number of errors that Errors.Error lists.
const maxErrorsShown = 20

// Origin is the file and line, or the cluster, that an object or an error comes
// from.
type Origin struct {
	// File is the path of the file as the user specified it or as Read found it in
	// a directory, "standard input", or the name of a cluster.
	File string
	// Line is the line on which the object or the field begins. The first line is
	// 1; 0 means that the line is unknown.
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
	// Object is "Kind namespace/name", or "" if the object is unknown.
	Object string
	// Field is the path of the field, such as spec.ingress[0].from[1], or "" if the
	// error does not concern a single field.
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

// Errors contains all errors in the input, in the order of the input. A function
// never returns empty Errors as an error.
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
