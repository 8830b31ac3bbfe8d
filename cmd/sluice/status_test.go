package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestStatusWithoutADataplane(t *testing.T) {
	dir := t.TempDir()
	code, stdout, stderr := sluice("", "status", "--state-dir", dir)
	if code != exitFailed || stdout != "" {
		t.Errorf("exit %d: %s, want exit 1 and no output", code, stdout)
	}
	for _, want := range []string{"no dataplane is running with this state directory", filepath.Join(dir, "dataplane.sock"), "sluice dataplane --state-dir " + dir} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q lacks %q", stderr, want)
		}
	}
}
