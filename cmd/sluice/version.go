package main

import "github.com/sluicenet/sluice/internal/buildinfo"

// version is the content of the file VERSION, as set by the build.
var version = "development"

// revision is the output of git describe, as set by the build of an image. An image
// contains no build information from git, so that a copy of the files without a git
// repository produces the same image.
var revision string

// describeVersion returns what --version prints.
func describeVersion() string { return buildinfo.Describe(version, revision) }
