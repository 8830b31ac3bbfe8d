// Package buildinfo describes the build of a program.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Describe returns the version, the commit if it is known, the version of Go and
// the platform.
//
// The revision is the output of git describe: the commit, with the suffix -dirty
// if files were modified since. If it is empty, Describe uses what Go read from
// git when it built the program.
func Describe(version, revision string) string {
	text := version
	if info, ok := debug.ReadBuildInfo(); ok {
		text += commit(append(settingsOf(revision), info.Settings...))
	}
	return fmt.Sprintf("%s, %s, %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// settingsOf returns the settings in which Go would store a revision.
func settingsOf(revision string) []debug.BuildSetting {
	hash, modified := strings.CutSuffix(revision, "-dirty")
	return []debug.BuildSetting{
		{Key: "vcs.revision", Value: hash},
		{Key: "vcs.modified", Value: strconv.FormatBool(modified)},
	}
}

// commit returns the commit, and whether files were modified since.
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
