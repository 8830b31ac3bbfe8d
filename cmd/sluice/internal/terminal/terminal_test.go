package terminal

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// open opens a pseudoterminal with 80 columns. What a program writes to the terminal can be read from
// the other file.
func open(t *testing.T) (terminal, other *os.File) {
	t.Helper()
	other, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if err := unix.IoctlSetPointerInt(int(other.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(other.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	return terminal, other
}

// TestProgress checks that the text appears only on a terminal, and that spaces overwrite it.
func TestProgress(t *testing.T) {
	terminal, other := open(t)
	if !Is(terminal) || Width(terminal) != 80 {
		t.Errorf("a terminal: %v, width %d", Is(terminal), Width(terminal))
	}
	Progress(terminal, "reading")()
	const want = "\rreading ...\r           \r"
	got := make([]byte, 100)
	n, err := other.Read(got)
	if err != nil || string(got[:n]) != want {
		t.Errorf("got %q, %v, want %q", got[:n], err, want)
	}
	var out bytes.Buffer
	Progress(&out, "reading")()
	if out.Len() != 0 {
		t.Errorf("without a terminal: %q", &out)
	}
}
