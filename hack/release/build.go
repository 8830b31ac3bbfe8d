package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/sluicenet/sluice/hack/release/oci"
	"github.com/sluicenet/sluice/hack/release/pack"
)

// architectures lists the architectures of the programs and of the image.
var architectures = []string{"amd64", "arm64"}

const buildinfo = "github.com/sluicenet/sluice/internal/buildinfo"

// build is the build of a release.
type build struct {
	root, out, version, repository string
	// The build writes its result to log.
	log io.Writer

	// commit is the commit of the sources, and time the time of the commit.
	commit string
	time   time.Time
	// scratch is a directory for files that are not artefacts. It contains the directory programs.
	scratch string
}

// prepare reads the commit, and creates the directories. The returned function removes the
// directory `scratch`.
func (b *build) prepare(ctx context.Context) (func(), error) {
	if b.out == "" {
		return nil, errors.New("-out is missing")
	}
	var err error
	if b.root, err = filepath.Abs(b.root); err != nil {
		return nil, err
	}
	if b.commit, err = b.output(ctx, "git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"); err != nil {
		return nil, err
	}
	seconds, err := b.output(ctx, "git", "log", "-1", "--format=%ct")
	if err != nil {
		return nil, err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("reading the time of the commit: %w", err)
	}
	b.time = time.Unix(unix, 0).UTC()
	if b.scratch, err = os.MkdirTemp("", "release-"); err != nil {
		return nil, err
	}
	return func() { _ = os.RemoveAll(b.scratch) }, nil
}

// output runs a program in the directory of the project, and returns its output without the final
// line break.
func (b *build) output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := b.run(ctx, nil, name, args...)
	return strings.TrimSpace(string(out)), err
}

// run runs a program in the directory of the project, with additional environment variables.
// GOPROXY is off, so Go does not download modules.
func (b *build) run(ctx context.Context, environment []string, name string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = b.root
	command.Env = append(os.Environ(), "GOPROXY=off", "CGO_ENABLED=0", "SOURCE_DATE_EPOCH="+strconv.FormatInt(b.time.Unix(), 10))
	command.Env = append(command.Env, environment...)
	var failure bytes.Buffer
	command.Stderr = &failure
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, failure.Bytes())
	}
	return out, nil
}

// programs builds the program for each architecture, in a directory that is the context of the
// Dockerfile.
func (b *build) programs(ctx context.Context) (map[string]string, error) {
	directory := filepath.Join(b.scratch, "programs")
	if err := os.Mkdir(directory, 0o755); err != nil {
		return nil, err
	}
	out := map[string]string{}
	flags := fmt.Sprintf("-s -w -buildid= -X %s.version=%s -X %s.revision=%s", buildinfo, b.version, buildinfo, b.commit)
	for _, architecture := range architectures {
		file := filepath.Join(directory, "sluice-linux-"+architecture)
		_, err := b.run(ctx, []string{"GOOS=linux", "GOARCH=" + architecture, "GOFLAGS="},
			"go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", file, "./cmd/sluice")
		if err != nil {
			return nil, err
		}
		out[architecture] = file
	}
	text, err := os.ReadFile(filepath.Join(b.root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	return out, os.WriteFile(filepath.Join(directory, "LICENSE"), text, 0o644)
}

// image writes the OCI archive of the image for all architectures, and returns its digest.
func (b *build) image(file string) (string, error) {
	images := make([]v1.Image, 0, len(architectures))
	for _, architecture := range architectures {
		image, err := oci.Build(oci.Source{
			Dockerfile: filepath.Join(b.root, "Dockerfile"), Context: filepath.Join(b.scratch, "programs"), Architecture: architecture, Time: b.time,
			Arguments: map[string]string{"TARGETARCH": architecture, "VERSION": b.version, "REVISION": b.commit},
		})
		if err != nil {
			return "", err
		}
		images = append(images, image)
	}
	index, err := oci.Index(images...)
	if err != nil {
		return "", err
	}
	return oci.WriteArchive(file, b.repository+"/sluice:"+b.version, index, b.time)
}

// onlyImage writes only the OCI archive of the image. It reads the version from the file VERSION.
// Unlike a release, the work tree may contain changes that are not committed.
func (b *build) onlyImage(ctx context.Context) error {
	clean, err := b.prepare(ctx)
	if err != nil {
		return err
	}
	defer clean()
	if b.version, err = b.fileVersion(); err != nil {
		return err
	}
	if _, err := b.programs(ctx); err != nil {
		return err
	}
	digest, err := b.image(b.out)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(b.log, digest)
	return err
}

func (b *build) fileVersion() (string, error) {
	text, err := os.ReadFile(filepath.Join(b.root, "VERSION"))
	return strings.TrimSpace(string(text)), err
}

// archives writes one archive for each architecture, for installations without an image. The
// archive contains the program sluice, a symbolic link so that kubectl finds it as a plugin, and
// the completion of the plugin.
func (b *build) archives(programs map[string]string) error {
	completion, err := os.ReadFile(filepath.Join(b.root, "cmd/sluice/internal/completion/kubectl_complete-sluice"))
	if err != nil {
		return err
	}
	license, err := os.ReadFile(filepath.Join(b.root, "LICENSE"))
	if err != nil {
		return err
	}
	for architecture, program := range programs {
		content, err := os.ReadFile(program)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		err = pack.WriteCompressed(&out, map[string]pack.File{
			"sluice": {Content: content, Executable: true}, "kubectl-sluice": {Target: "sluice"},
			"kubectl_complete-sluice": {Content: completion, Executable: true}, "LICENSE": {Content: license},
		}, b.time)
		if err != nil {
			return err
		}
		if err := b.write("sluice_"+b.version+"_linux_"+architecture+".tar.gz", out.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// documentation writes an archive with the documentation as HTML pages. Their links to files of the
// repository point to the commit of the release.
func (b *build) documentation(ctx context.Context) error {
	folder := filepath.Join(b.scratch, "site")
	if _, err := b.run(ctx, nil, "go", "run", "./hack/site", "-ref", b.commit, ".", folder); err != nil {
		return err
	}
	files, err := pack.Directory(folder)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := pack.WriteCompressed(&out, files, b.time); err != nil {
		return err
	}
	return b.write("sluice-docs_"+b.version+".tar.gz", out.Bytes())
}

func (b *build) write(name string, content []byte) error {
	return os.WriteFile(filepath.Join(b.out, name), content, 0o644)
}

// toolchain returns the version of the Go toolchain that builds the release.
func toolchain() string { return runtime.Version() }
