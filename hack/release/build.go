package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
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

	"github.com/sluicenet/sluice/hack/release/krew"
	"github.com/sluicenet/sluice/hack/release/oci"
	"github.com/sluicenet/sluice/hack/release/pack"
)

const buildinfo = "github.com/sluicenet/sluice/internal/buildinfo"

// build is the build of a release.
type build struct {
	root, out, version, repository string
	// clients lists platforms for which the release contains only an archive. Users download the
	// archives from the URL `downloads`.
	clients   []platform
	downloads string
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

// programs builds the program for each platform, in a directory that is the context of the Dockerfile.
// It returns the files of the programs.
func (b *build) programs(ctx context.Context, platforms []platform) ([]string, error) {
	directory := filepath.Join(b.scratch, "programs")
	if err := os.Mkdir(directory, 0o755); err != nil {
		return nil, err
	}
	files := make([]string, 0, len(platforms))
	flags := fmt.Sprintf("-s -w -buildid= -X %s.version=%s -X %s.revision=%s", buildinfo, b.version, buildinfo, b.commit)
	for _, p := range platforms {
		file := filepath.Join(directory, p.file())
		_, err := b.run(ctx, []string{"GOOS=" + p.system, "GOARCH=" + p.architecture, "GOFLAGS="},
			"go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", file, "./cmd/sluice")
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	text, err := os.ReadFile(filepath.Join(b.root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	return files, os.WriteFile(filepath.Join(directory, "LICENSE"), text, 0o644)
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
	if _, err := b.programs(ctx, nodePlatforms()); err != nil {
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

// archives writes one archive for each platform, for installations without an image, and the manifest
// with which Krew installs the archives. An archive contains the program and the completion of the
// plugin. It contains no symbolic link, because Krew rejects archives with symbolic links.
func (b *build) archives(platforms []platform, programs []string) error {
	license, err := os.ReadFile(filepath.Join(b.root, "LICENSE"))
	if err != nil {
		return err
	}
	completion, err := os.ReadFile(filepath.Join(b.root, "cmd/sluice/internal/completion/kubectl_complete-sluice"))
	if err != nil {
		return err
	}
	archives := make([]krew.Archive, 0, len(platforms))
	for i, p := range platforms {
		program, err := os.ReadFile(programs[i])
		if err != nil {
			return err
		}
		others := map[string]pack.File{"LICENSE": {Content: license}}
		if p.system != "windows" { // The completion is a shell script.
			others["kubectl_complete-sluice"] = pack.File{Content: completion, Executable: true}
		}
		content, err := p.pack(program, others, b.time)
		if err != nil {
			return err
		}
		name := p.archive(b.version)
		if err := b.write(name, content); err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		archives = append(archives, krew.Archive{
			System: p.system, Architecture: p.architecture, Name: name, SHA256: hex.EncodeToString(sum[:]), Program: p.program(),
		})
	}
	manifest, err := krew.Write(b.version, b.downloads+"/v"+b.version, archives)
	if err != nil {
		return err
	}
	return b.write(krewFile, manifest)
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
