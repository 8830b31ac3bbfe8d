// Package page writes the progress and the results of sluice-demo as human-readable
// text.
package page

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Page writes the text output of sluice-demo. While a step runs, it shows the progress of the
// step. On a terminal, it uses colors and the width of the terminal.
type Page struct {
	w     io.Writer
	width int
	// live is true if the output is a terminal, on which Page can overwrite a line.
	live, color bool
}

const (
	maxWidth = 100
	minWidth = 60
)

// New returns a Page that writes to w.
func New(w io.Writer) *Page {
	p := &Page{w: w, width: maxWidth}
	file, ok := w.(*os.File)
	if !ok {
		return p
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return p
	}
	p.live = os.Getenv("TERM") != "dumb"
	p.color = p.live && os.Getenv("NO_COLOR") == ""
	if size.Col > 0 {
		p.width = min(max(int(size.Col), minWidth), maxWidth)
	}
	return p
}

// The styles are parameters of SGR control sequences (ECMA-48), such as 1 for bold.
const (
	plain  = ""
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	alarm  = "1;97;41"
)

// paint returns a text in a style. If the page uses no colors, paint returns the text
// unchanged.
func (p *Page) paint(style, text string) string {
	if !p.color || style == plain {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// Line formats and writes one line.
func (p *Page) Line(format string, args ...any) {
	fmt.Fprintln(p.w, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// Heading writes an empty line and a heading.
func (p *Page) Heading(text string) { p.Line("\n%s", p.paint(bold, text)) }

// Step calls the function `work` and shows its progress on one line. During the call, the line
// shows the text in the `doing` parameter, or the latest text that `work` passed to the function
// `progress`. After the call, the line shows the text that `work` returned and the duration of the
// call.
func (p *Page) Step(doing string, work func(progress func(string)) (string, error)) error {
	p.Overwrite("  … " + doing)
	start := time.Now()
	done, err := work(func(text string) { p.Overwrite("  … " + text) })
	if err != nil {
		p.Overwrite("")
		p.Line("  %s %s", p.paint(red, "✗"), doing)
		return err
	}
	p.Overwrite("")
	took := duration(time.Since(start))
	gap := max(2, p.width-4-utf8.RuneCountInString(done)-utf8.RuneCountInString(took))
	p.Line("  %s %s%s%s", p.paint(green, "✓"), done, strings.Repeat(" ", gap), p.paint(faint, took))
	return nil
}

// Overwrite replaces the text of the current line. If the output is not a terminal, Overwrite
// does nothing.
func (p *Page) Overwrite(text string) {
	if p.live {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
	}
}

// duration formats a duration. The precision depends on the length of the duration.
func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// Count returns a number and a noun, such as "1 pod" or "1,204 packets".
func Count(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
		if strings.HasSuffix(noun, "ys") {
			noun = strings.TrimSuffix(noun, "ys") + "ies"
		}
	}
	return thousands(n) + " " + noun
}

// thousands formats a number with thousands separators, such as "1,204".
func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// wrap joins items into lines of at most width characters.
func wrap(items []string, width int) []string {
	var lines []string
	for i, item := range items {
		if i < len(items)-1 {
			item += ","
		}
		last := len(lines) - 1
		if last >= 0 && utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(item) <= width {
			lines[last] += " " + item
			continue
		}
		lines = append(lines, item)
	}
	return lines
}

// fit pads or truncates a text to exactly width characters.
func fit(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n <= width {
		return text + strings.Repeat(" ", width-n)
	}
	return string([]rune(text)[:width-1]) + "…"
}
