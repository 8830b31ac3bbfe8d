// Package choice contains the values of flags that accept only some words.
package choice

import (
	"errors"
	"slices"
	"strings"
)

// Value is the value of a flag that accepts only some words. It implements pflag.Value. Package
// completion offers the words in a shell.
type Value struct {
	value, name string
	words       []string
}

// New returns a value that accepts the given words. The `name` parameter is the name of the value
// in help texts, such as "format". The `initial` parameter is the word that is selected at first.
// It can be "", although a user cannot select "".
func New(name, initial string, words ...string) Value {
	return Value{value: initial, name: name, words: words}
}

// String returns the selected word.
func (v *Value) String() string { return v.value }

// Set selects a word. If the flag does not accept the word, the error lists the words that the flag
// accepts.
func (v *Value) Set(word string) error {
	if !slices.Contains(v.words, word) {
		return errors.New("want " + v.List())
	}
	v.value = word
	return nil
}

// Type returns the name of the value in help texts.
func (v *Value) Type() string { return v.name }

// Words returns the words that the flag accepts.
func (v *Value) Words() []string { return v.words }

// List returns the words as an enumeration, such as "text, json or yaml".
func (v *Value) List() string {
	last := len(v.words) - 1
	if last == 0 {
		return v.words[0]
	}
	return strings.Join(v.words[:last], ", ") + " or " + v.words[last]
}
