package main

import (
	"regexp"
	"strings"
)

var (
	marker = regexp.MustCompile(`^\s*([-*+]|\d+\.|>)\s+`)
	rule   = regexp.MustCompile(`^[\s|:-]+$`)
	// sentenceEnd matches the end of a sentence: a full stop, a question mark or an
	// exclamation mark, followed by a space and the beginning of the next sentence.
	sentenceEnd = regexp.MustCompile("([.?!][)*]*)\\s+([A-Z(`*\\[])")
)

// minSentence is the minimum number of words for a table cell or a list item to count as a
// sentence.
const minSentence = 5

// sentences returns the sentences of a Markdown file. It leaves out headings and
// blocks of code.
func sentences(name string, content []byte) ([]block, error) {
	d := document{name: name}
	for i, line := range strings.Split(string(content), "\n") {
		d.read(i+1, line)
	}
	d.flush()
	return d.blocks, nil
}

// document collects the blocks of a Markdown file, which it reads line by line.
type document struct {
	name   string
	blocks []block
	// The `paragraph` field contains the lines of the current paragraph. The `begin` field is the
	// number of its first line.
	paragraph []string
	begin     int
	inCode    bool
}

func (d *document) read(number int, line string) {
	trimmed := strings.TrimSpace(line)
	fence := strings.HasPrefix(trimmed, "```")
	switch {
	case fence:
		d.flush()
		d.inCode = !d.inCode
	case d.inCode:
	case trimmed == "", strings.HasPrefix(trimmed, "#"), rule.MatchString(trimmed):
		d.flush()
	case len(d.paragraph) == 0 && strings.HasPrefix(line, "    "):
		// Skip indented blocks of code.
	case strings.HasPrefix(trimmed, "|"):
		d.flush()
		for cell := range strings.SplitSeq(strings.ReplaceAll(trimmed, `\|`, "¦"), "|") {
			d.add(number, strings.TrimSpace(cell))
			d.flush()
		}
	case marker.MatchString(line):
		d.flush()
		d.add(number, marker.ReplaceAllString(line, ""))
	default:
		d.add(number, trimmed)
	}
}

func (d *document) add(number int, text string) {
	if len(d.paragraph) == 0 {
		d.begin = number
	}
	d.paragraph = append(d.paragraph, text)
}

// flush ends the current paragraph and splits it into sentences.
func (d *document) flush() {
	text := strings.Join(d.paragraph, "\n")
	line := d.begin
	for _, sentence := range strings.Split(sentenceEnd.ReplaceAllString(text, "$1\x00$2"), "\x00") {
		if len(strings.Fields(sentence)) >= minSentence {
			d.blocks = append(d.blocks, block{d.name, line, strings.Join(strings.Fields(sentence), " ")})
		}
		line += strings.Count(sentence, "\n")
	}
	d.paragraph = nil
}
