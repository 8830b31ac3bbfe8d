// Package question parses questions about flows: flows as JSON lines, and the protocol and the
// destination port of a flow.
package question

import "fmt"

// InputError is an error in a question, such as the name of an unknown pod. The message
// explains what the user should specify instead.
type InputError struct {
	// Field is the name of a field of the question, such as "from" or "port". If the error does
	// not concern a single field, it is "". Value is the value of the field, or "" if the field is
	// missing.
	Field, Value string
	Message      string
}

// Error returns "FIELD VALUE: MESSAGE", "FIELD is missing: MESSAGE", or only the
// message if Field is empty.
func (e *InputError) Error() string {
	switch {
	case e.Field == "":
		return e.Message
	case e.Value == "":
		return e.Field + " is missing: " + e.Message
	default:
		return e.Field + " " + e.Value + ": " + e.Message
	}
}

// Errorf returns an InputError for a field and its value.
func Errorf(field, value, format string, args ...any) error {
	return &InputError{Field: field, Value: value, Message: fmt.Sprintf(format, args...)}
}
