package main

import (
	"bytes"
	"regexp"
	"testing"
)

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	if code := run([]string{"--version"}, nil, &out, &out); code != 0 {
		t.Fatalf("exit %d: %s", code, out.String())
	}
	want := regexp.MustCompile(`^sluice development(, commit [0-9a-f]{12}( with changes)?)?, go1\.\S+, linux/\w+\n$`)
	if !want.Match(out.Bytes()) {
		t.Errorf("it prints %q, want it like %s", out.String(), want)
	}
}
