package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// version is the version of the program. The build sets it to the content of the
// file VERSION.
var version = "development"

// revision is the commit from which an image was built, with the suffix -dirty if
// files were modified since that commit. The build of the image sets it to the
// output of git describe. Go adds no build information from git to an image, so
// that a copy of the files without a git repository produces the same image.
var revision string

// describeVersion returns the text that --version prints: the version, the commit
// if it is known, the Go version and the platform.
func describeVersion() string {
	text := version
	if info, ok := debug.ReadBuildInfo(); ok {
		text += commit(append(settingsOf(revision), info.Settings...))
	}
	return fmt.Sprintf("%s, %s, %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// settingsOf returns a revision in the form in which Go stores it in the build
// settings of a program that was built in a git repository.
func settingsOf(revision string) []debug.BuildSetting {
	hash, modified := strings.CutSuffix(revision, "-dirty")
	return []debug.BuildSetting{
		{Key: "vcs.revision", Value: hash},
		{Key: "vcs.modified", Value: strconv.FormatBool(modified)},
	}
}

// commit returns the commit from which the program was built. It adds a note if
// files were modified since that commit.
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
