// Package buildinfo describes the build of a program.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// The build sets version to the content of the file VERSION.
var version = "development"

// The build of an image sets revision to the output of git describe: the commit, followed by -dirty
// if files were modified after the commit. The image contains no other build information from git.
// So a build from a copy of the files without the git repository produces the same image. If
// revision is empty, Describe uses the commit that the go command recorded in the program.
var revision string

// Version returns the version of the program, such as "v0.1.0", or "development" if the build did not
// set a version.
func Version() string { return version }

// Describe returns a text with the version, the commit, the Go version and the platform. If
// the commit is unknown, the text omits it.
func Describe() string {
	text := version
	if info, ok := debug.ReadBuildInfo(); ok {
		text += commit(append(settingsOf(revision), info.Settings...))
	}
	return fmt.Sprintf("%s, %s, %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// settingsOf converts a revision to the build settings that the go command would record for
// this revision.
func settingsOf(revision string) []debug.BuildSetting {
	hash, modified := strings.CutSuffix(revision, "-dirty")
	return []debug.BuildSetting{
		{Key: "vcs.revision", Value: hash},
		{Key: "vcs.modified", Value: strconv.FormatBool(modified)},
	}
}

// commit returns a text with the commit. If files were modified after the commit, the text also
// contains "with changes". If the commit is unknown, commit returns "".
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
