// Package output writes the results of commands in the format that the flag -o selects.
package output

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/cmd/sluice/internal/choice"
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

// Format is the value of the flag -o.
type Format struct{ choice.Value }

// AddTo adds the flag -o to a command. The first of the valid formats is the default.
func (f *Format) AddTo(cmd *cobra.Command, valid ...string) {
	f.Value = choice.New("format", valid[0], valid...)
	cmd.Flags().VarP(f, "output", "o", "output `format`: "+f.List())
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
	switch f.String() {
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
