package input

import "fmt"

// Error is an error in the user's input, such as a flag, a manifest or a flow. For an Error, the
// exit code is 2.
type Error struct{ error }

// Unwrap returns the cause of the error.
func (e Error) Unwrap() error { return e.error }

// Errorf returns an Error. The message explains what the user should specify instead.
func Errorf(format string, args ...any) error {
	return Error{fmt.Errorf(format, args...)}
}
