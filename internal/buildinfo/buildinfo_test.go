package buildinfo

import (
	"runtime/debug"
	"testing"
)

func TestCommit(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123"}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	tests := map[string]struct {
		settings []debug.BuildSetting
		want     string
	}{
		"not known": {nil, ""},
		"clean":     {[]debug.BuildSetting{revision, {Key: "vcs.modified", Value: "false"}}, ", commit 0123456789ab"},
		"changed":   {[]debug.BuildSetting{revision, modified}, ", commit 0123456789ab with changes"},
		"image":     {settingsOf("0123456789abcdef0123"), ", commit 0123456789ab"},
		"dirty":     {settingsOf("0123456789abcdef0123-dirty"), ", commit 0123456789ab with changes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := commit(tt.settings); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
