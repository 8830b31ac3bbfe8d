package netpol_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// previousVersion builds the program of the newest release before the current commit, and returns its
// path and version. Before the first release, it builds the current source with another version.
func previousVersion(t *testing.T) (program, version string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "sluice-previous")
	tag, err := releaseBefore("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if tag == "" {
		if err := build(program, "lab-previous"); err != nil {
			t.Fatal(err)
		}
		return program, "the current source, because there is no tag of a release"
	}
	if err := buildTag("../../..", tag, t.TempDir(), program); err != nil {
		t.Fatalf("building %s: %v", tag, err)
	}
	return program, tag
}

// releaseBefore returns the newest tag of a release that is a proper ancestor of the current commit in
// the given repository, or "" if there is none.
func releaseBefore(repository string) (tag string, err error) {
	tags, err := git(repository, "tag", "--list", "v*.*.*", "--merged", "HEAD", "--no-contains", "HEAD", "--sort", "-version:refname")
	tag, _, _ = strings.Cut(tags, "\n")
	return tag, err
}

// buildTag builds the program from the source of a tag. It writes the source to the empty folder dir.
func buildTag(repository, tag, dir, program string) error {
	archive := exec.Command("git", "-C", repository, "archive", tag)
	extract := exec.Command("tar", "-x", "-C", dir)
	reader, writer := io.Pipe()
	archive.Stdout, extract.Stdin = writer, reader
	archive.Stderr, extract.Stderr = os.Stderr, os.Stderr
	if err := extract.Start(); err != nil {
		return err
	}
	err := errors.Join(archive.Run(), writer.Close(), extract.Wait())
	if err != nil {
		return err
	}
	compile := exec.Command("go", "build", "-o", program, "-ldflags", "-X github.com/sluicenet/sluice/internal/buildinfo.version="+tag, "./cmd/sluice")
	compile.Dir, compile.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func git(repository string, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", repository}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// TestReleaseBefore checks which tag TestUpgrade builds.
func TestReleaseBefore(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		if _, err := git(dir, append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	run("init", "-q", "-b", "main")
	for _, step := range []struct{ tag, want string }{
		{"", ""}, {"v0.9.0", ""}, {"", "v0.9.0"}, {"v0.10.0", "v0.9.0"}, {"other", "v0.10.0"}, {"", "v0.10.0"},
	} {
		run("commit", "-q", "--allow-empty", "-m", "c")
		if step.tag != "" {
			run("tag", step.tag)
		}
		got, err := releaseBefore(dir)
		if err != nil || got != step.want {
			t.Errorf("after tag %q: %q, %v, want %q", step.tag, got, err, step.want)
		}
	}
}
