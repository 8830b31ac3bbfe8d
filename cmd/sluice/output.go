package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// output is the value of the flag -o: text or json. It implements pflag.Value.
type output string

const (
	textOutput output = "text"
	jsonOutput output = "json"
)

func (o *output) addFlag(cmd *cobra.Command) {
	*o = textOutput
	cmd.Flags().VarP(o, "output", "o", "output `format`: text or json")
}

// String returns the name of the format.
func (o *output) String() string { return string(*o) }

// Set sets the format. text must be "text" or "json".
func (o *output) Set(text string) error {
	switch format := output(text); format {
	case textOutput, jsonOutput:
		*o = format
		return nil
	default:
		return errors.New("want text or json")
	}
}

// Type returns the name of the flag's value in help texts.
func (*output) Type() string { return "format" }

func (o *output) json() bool { return *o == jsonOutput }

// answer is a result of package query that can be written as text or as JSON.
type answer interface {
	WriteText(w io.Writer) error
}

// write writes an answer in the format that the flag selects.
func (o *output) write(cmd *cobra.Command, a answer) error {
	if o.json() {
		return writeJSON(cmd.OutOrStdout(), a)
	}
	return a.WriteText(cmd.OutOrStdout())
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
