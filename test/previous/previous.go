// Package previous provides the version before the current source, for tests of upgrades.
//
// The previous version is the newest tag of a release that is a proper ancestor of the current
// commit. Before the first release, it is a fixed commit. A shallow clone may contain neither. The
// tests then upgrade from the current commit, so they still run, but check less.
package previous

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// commit is the previous version if there is no tag of a release. Its parts differ from the current
// source as the parts of two releases do:
//
//   - Its dataplane has no flood queues. So the table has other chains and sets, and each dataplane
//     of a hand-over binds other queues.
//   - Its trees contain no fingerprints, which are an optional part of a tree.
//   - The schemas of its Enforcer and NodeEnforcer lack fields, and its Enforcer allows higher
//     queue numbers.
const commit = "ca583500518ea72ef8c40bbc04671b52506c62d1"

// Version is a commit of a repository.
type Version struct {
	// Name is the tag or the hash of the commit.
	Name       string
	repository string
	// missing is the commit that this version replaces, because the repository does not contain it.
	missing string
}

// Find returns the previous version of the source in a repository.
func Find(repository string) (*Version, error) { return find(repository, commit) }

// find returns the previous version. If there is no tag of a release, this is the given commit.
func find(repository, commit string) (*Version, error) {
	// With this suffix, git sorts a pre-release such as v0.2.0-rc.1 before v0.2.0.
	tags, err := git(repository, "-c", "versionsort.suffix=-", "tag", "--list", "v*.*.*", "--merged", "HEAD", "--no-contains", "HEAD", "--sort", "-version:refname")
	if err != nil {
		return nil, err
	}
	if tag, _, _ := strings.Cut(tags, "\n"); tag != "" {
		return &Version{Name: tag, repository: repository}, nil
	}
	if _, err := git(repository, "cat-file", "-e", commit+"^{commit}"); err == nil {
		return &Version{Name: commit, repository: repository}, nil
	}
	head, err := git(repository, "rev-parse", "HEAD")
	if err != nil {
		return nil, err
	}
	return &Version{Name: head, repository: repository, missing: commit}, nil
}

// String returns a description of the version for the log of a test.
func (v *Version) String() string {
	if v.missing != "" {
		return fmt.Sprintf("the current commit, because this clone contains neither a tag of a release nor commit %s", v.missing)
	}
	return v.Name
}

// Extract writes files of the version to a directory, which must exist. The paths are relative to the
// root of the repository. Without a path, Extract writes all files.
func (v *Version) Extract(directory string, paths ...string) error {
	archive, err := output(exec.Command("git", append([]string{"-C", v.repository, "archive", v.Name, "--"}, paths...)...))
	if err != nil {
		return err
	}
	extract := exec.Command("tar", "-x", "-C", directory)
	extract.Stdin = bytes.NewReader(archive)
	_, err = output(extract)
	return err
}

// Build builds the program of the version as a static binary, and writes it to a file.
func (v *Version) Build(program string) (err error) {
	program, err = filepath.Abs(program)
	if err != nil {
		return err
	}
	source, err := os.MkdirTemp("", "sluice-previous-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(source)) }()
	if err := v.Extract(source); err != nil {
		return err
	}
	compile := exec.Command("go", "build", "-trimpath", "-o", program,
		"-ldflags", "-X github.com/sluicenet/sluice/internal/buildinfo.version="+v.Name, "./cmd/sluice")
	compile.Dir, compile.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	_, err = output(compile)
	return err
}

func git(repository string, args ...string) (string, error) {
	out, err := output(exec.Command("git", append([]string{"-C", repository}, args...)...))
	return strings.TrimSpace(string(out)), err
}

// output runs a command and returns its standard output. The error contains the standard error.
func output(command *exec.Cmd) ([]byte, error) {
	var out, fault bytes.Buffer
	command.Stdout, command.Stderr = &out, &fault
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(command.Args, " "), err, &fault)
	}
	return out.Bytes(), nil
}
