package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// page is what people read: steps that show themselves while they run, and
// text. On a terminal it has colors and its width; elsewhere neither.
type page struct {
	w     io.Writer
	width int
	// live: lines may be written over, and colors mean something.
	live, color bool
}

const (
	pageWidth  = 100
	leastWidth = 60
)

func newPage(w io.Writer) *page {
	p := &page{w: w, width: pageWidth}
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
		p.width = min(max(int(size.Col), leastWidth), pageWidth)
	}
	return p
}

// The styles, as SGR parameters of ECMA-48.
const (
	plain  = ""
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	alarm  = "1;97;41"
)

func (p *page) paint(style, text string) string {
	if !p.color || style == plain {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

func (p *page) line(format string, args ...any) {
	fmt.Fprintln(p.w, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// heading starts a part of the page.
func (p *page) heading(text string) { p.line("\n%s", p.paint(bold, text)) }

// step runs one step. Its line says what is going on while it runs and what
// was done when it ends.
func (p *page) step(doing string, work func(progress func(string)) (string, error)) error {
	p.over("  … " + doing)
	start := time.Now()
	done, err := work(func(text string) { p.over("  … " + text) })
	if err != nil {
		p.over("")
		p.line("  %s %s", p.paint(red, "✗"), doing)
		return err
	}
	p.over("")
	took := duration(time.Since(start))
	gap := max(2, p.width-4-utf8.RuneCountInString(done)-utf8.RuneCountInString(took))
	p.line("  %s %s%s%s", p.paint(green, "✓"), done, strings.Repeat(" ", gap), p.paint(faint, took))
	return nil
}

// over writes over the current line of a terminal.
func (p *page) over(text string) {
	if p.live {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
	}
}

// duration rounds to what a reader needs.
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

// count writes a number with its noun: "1 pod", "1,204 packets".
func count(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
		if strings.HasSuffix(noun, "ys") {
			noun = strings.TrimSuffix(noun, "ys") + "ies"
		}
	}
	return thousands(n) + " " + noun
}

func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// wrap breaks a list into lines of at most width characters.
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

// fit pads or cuts text to a width.
func fit(text string, width int) string {
	n := utf8.RuneCountInString(text)
	if n <= width {
		return text + strings.Repeat(" ", width-n)
	}
	return string([]rune(text)[:width-1]) + "…"
}
