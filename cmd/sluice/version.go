package main

import "github.com/sluicenet/sluice/internal/buildinfo"

// The build sets version to the content of the file VERSION.
var version = "development"

// The build of an image sets revision to the output of git describe. The image contains no
// other build information from git. So a build from a copy of the files without the git
// repository produces the same image.
var revision string

// describeVersion returns the text that --version prints.
func describeVersion() string { return buildinfo.Describe(version, revision) }
