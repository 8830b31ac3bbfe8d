package main

import "github.com/sluicenet/sluice/internal/buildinfo"

// version is set by the build to the content of VERSION.
var version = "development"

// revision is set by the build of an image to the output of git describe. An
// image contains no build information from git, so that a copy of the files
// without a git repository produces the same image.
var revision string

// describeVersion returns what --version prints.
func describeVersion() string { return buildinfo.Describe(version, revision) }
