package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the build to the content of VERSION.
var version = "development"

// describeVersion returns what --version prints: the version, the commit if it is
// known, the version of Go and the platform.
func describeVersion() string {
	text := version
	if info, ok := debug.ReadBuildInfo(); ok {
		text += commit(info.Settings)
	}
	return fmt.Sprintf("%s, %s, %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
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
