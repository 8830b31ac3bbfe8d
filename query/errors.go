package query

import "fmt"

// InputError is an error in a question. The message explains what to give instead.
type InputError struct {
	// Field is the field of the question, such as from or port, or "" if the
	// error is not about a single field. Value is its value, or "" if the field is
	// missing.
	Field, Value string
	Message      string
}

// Error returns "FIELD VALUE: MESSAGE", "FIELD is missing: MESSAGE" or, without
// a field, the message.
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

func inputErrorf(field, value, format string, args ...any) error {
	return &InputError{Field: field, Value: value, Message: fmt.Sprintf(format, args...)}
}
