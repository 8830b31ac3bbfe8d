package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is what the build stamps: the content of VERSION.
var version = "development"

// describeVersion is what --version prints: the version, the commit where it
// is known, and what the program was built by and for.
func describeVersion() string {
	text := version
	if info, ok := debug.ReadBuildInfo(); ok {
		text += commit(info.Settings)
	}
	return fmt.Sprintf("%s, %s, %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// commit names the commit, and says if the files were not those of it.
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
