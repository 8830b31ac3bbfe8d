package ui_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sluicenet/sluice/test/browser"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/ui"
)

// TestOpenBrowser checks that no other user can read the token: it is neither an argument of the program
// that opens the browser, nor in a file that others can read. The file must open the page, and is
// removed when the command ends.
func TestOpenBrowser(t *testing.T) {
	folder, temporary := t.TempDir(), t.TempDir()
	script := "#!/bin/sh\nprintf '%s' \"$*\" > " + folder + "/partial && mv " + folder + "/partial " + folder + "/arguments\n"
	if err := os.WriteFile(filepath.Join(folder, "xdg-open"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	t.Setenv("DISPLAY", ":0")
	t.Setenv("TMPDIR", temporary)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	ended := make(chan error, 1)
	go func() { ended <- ui.Run(ctx, files(t, shop), ui.Options{Browser: true, Out: &out}) }()

	var arguments []byte
	eventually.NoError(t, func() (err error) {
		arguments, err = os.ReadFile(filepath.Join(folder, "arguments"))
		return err
	})
	file := string(arguments)
	if strings.Contains(file, "token") || filepath.Dir(file) != temporary {
		t.Fatalf("arguments %q, want one file in %s", file, temporary)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, error %v, want mode 0600", info, err)
	}
	b := browser.Open(t, "file://"+file, screenshots)
	b.Do(chromedp.WaitVisible(chromedp.CSS(".cards")))

	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file still exists, error %v", err)
	}
	if !strings.Contains(out.String(), "/#token=") || !strings.HasSuffix(out.String(), "Ctrl-C stops the page.\n") {
		t.Errorf("output %q", out.String())
	}
}
