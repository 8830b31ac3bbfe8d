// Package buildinfo describes the build of a program.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Describe returns a text with the version, the commit if it is known, the Go version and
// the platform.
//
// revision is the output of git describe: the commit, with the suffix -dirty if files
// were modified after the commit. If revision is empty, Describe uses the commit that the
// go command recorded in the program.
func Describe(version, revision string) string {
	text := version
	if info, ok := debug.ReadBuildInfo(); ok {
		text += commit(append(settingsOf(revision), info.Settings...))
	}
	return fmt.Sprintf("%s, %s, %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// settingsOf returns the build settings that the go command would record for a revision.
func settingsOf(revision string) []debug.BuildSetting {
	hash, modified := strings.CutSuffix(revision, "-dirty")
	return []debug.BuildSetting{
		{Key: "vcs.revision", Value: hash},
		{Key: "vcs.modified", Value: strconv.FormatBool(modified)},
	}
}

// commit returns a text with the commit, and with "with changes" if files were modified
// after the commit. The text is empty if the commit is unknown.
func commit(settings []debug.BuildSetting) string {
	text := ""
	for _, setting := range settings {
		switch {
		case setting.Key == "vcs.revision" && len(setting.Value) >= 12:
			text = ", commit " + setting.Value[:12] + text
		case setting.Key == "vcs.modified" && setting.Value == "true":
			text += " with changes"
		}
	}
	return text
}
