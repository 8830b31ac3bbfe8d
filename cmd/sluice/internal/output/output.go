// Package output writes the results of commands in the format that the flag -o selects.
package output

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// These are the formats of the flag -o.
const (
	Text = "text"
	Wide = "wide"
	JSON = "json"
	YAML = "yaml"
)

// ErrReported makes a command exit with code 1 without an error message. Commands return it
// if the output already contains the reason, such as the findings of lint.
var ErrReported = errors.New("see the output")

// Format is the value of the flag -o. It implements pflag.Value.
type Format struct {
	value string
	valid []string
}

// AddTo adds the flag -o to a command. The first of the valid formats is the default.
func (f *Format) AddTo(cmd *cobra.Command, valid ...string) {
	f.value, f.valid = valid[0], valid
	cmd.Flags().VarP(f, "output", "o", "output `format`: "+list(valid))
}

// String returns the name of the format.
func (f *Format) String() string { return f.value }

// Set sets the format. It returns an error that lists the valid formats if the command does not
// have the format.
func (f *Format) Set(name string) error {
	if !slices.Contains(f.valid, name) {
		return errors.New("want " + list(f.valid))
	}
	f.value = name
	return nil
}

// Valid returns the valid formats.
func (f *Format) Valid() []string { return f.valid }

// Type returns the name of the flag's value in help texts.
func (*Format) Type() string { return "format" }

// list returns words as an enumeration, such as "text, json or sarif".
func list(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// Result is a result of a command that can be written as text, as JSON and as YAML. The JSON form
// has the fields apiVersion and kind.
type Result interface {
	WriteText(w io.Writer) error
}

// WideResult is a Result for the format Wide.
type WideResult interface {
	// WriteWide writes the text with all details.
	WriteWide(w io.Writer) error
}

// Write writes a result in the format that the flag selects.
func (f *Format) Write(cmd *cobra.Command, r Result) error {
	w := cmd.OutOrStdout()
	switch f.value {
	case JSON:
		return writeJSON(w, r)
	case YAML:
		return WriteYAML(w, r)
	case Wide:
		if wide, ok := r.(WideResult); ok {
			return wide.WriteWide(w)
		}
	}
	return r.WriteText(w)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

// WriteYAML writes a value as a YAML document with the same content as its JSON form.
func WriteYAML(w io.Writer, v any) error {
	text, err := yaml.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("writing YAML: %w", err)
	}
	return nil
}
