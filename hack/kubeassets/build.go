package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// moduleFile is the go.mod that pins the versions of all modules to build.
const moduleFile = "hack/kube/go.mod"

// A program is one of the programs that envtest runs.
type program struct {
	name        string // the name of the program's file
	packagePath string // the import path of the program's main package
}

var programs = []program{
	{"etcd", "go.etcd.io/etcd/server/v3"},
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
}

// assets returns the directory that contains all programs. It builds the programs
// that are missing.
func assets() (string, error) {
	if directory := os.Getenv("KUBEBUILDER_ASSETS"); directory != "" {
		return directory, nil
	}
	root, err := projectRoot()
	if err != nil {
		return "", err
	}
	modules, err := os.ReadFile(filepath.Join(root, moduleFile))
	if err != nil {
		return "", fmt.Errorf("reading the pinned versions: %w", err)
	}
	version, err := kubernetesVersion(modules)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the user's cache directory: %w", err)
	}
	directory := filepath.Join(cache, "sluice", "kube", directoryName(version, modules))
	if complete(directory) {
		return directory, nil
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return "", fmt.Errorf("creating the cache directory: %w", err)
	}
	// Hold a lock, because otherwise two concurrent builds would do all the work twice.
	unlock, err := lock(filepath.Join(directory, ".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	for _, p := range programs {
		if err := build(root, directory, version, p); err != nil {
			return "", err
		}
	}
	return directory, nil
}

// projectRoot returns the directory that contains the main module's go.mod.
func projectRoot() (string, error) {
	output, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the project's directory with go: %w", err)
	}
	file := strings.TrimSpace(string(output))
	if file == "" || file == os.DevNull {
		return "", errors.New("there is no go.mod here: run this in the project's directory")
	}
	return filepath.Dir(file), nil
}

var kubernetesRequirement = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v1\.[0-9]+\.[0-9]+\S*)`)

// kubernetesVersion returns the version of k8s.io/kubernetes that a go.mod
// requires.
func kubernetesVersion(modules []byte) (string, error) {
	match := kubernetesRequirement.FindSubmatch(modules)
	if match == nil {
		return "", fmt.Errorf("%s requires no k8s.io/kubernetes", moduleFile)
	}
	return string(match[1]), nil
}

// directoryName returns a directory name that depends on everything that affects a build, so
// that different builds have different directories.
func directoryName(version string, modules []byte) string {
	sum := sha256.Sum256(fmt.Appendf(modules[:len(modules):len(modules)], "\n%s", runtime.Version()))
	return fmt.Sprintf("%s-%s-%s-%s", version, runtime.GOOS, runtime.GOARCH, hex.EncodeToString(sum[:4]))
}

// complete reports whether the directory contains all programs.
func complete(directory string) bool {
	for _, p := range programs {
		if !built(directory, p) {
			return false
		}
	}
	return true
}

func built(directory string, p program) bool {
	info, err := os.Stat(filepath.Join(directory, p.name))
	return err == nil && info.Mode().IsRegular()
}

// build builds a program if its file is missing. The file receives its final name only after
// the build has succeeded.
func build(root, directory, version string, p program) error {
	if built(directory, p) {
		return nil
	}
	began := time.Now()
	fmt.Fprintf(os.Stderr, "building %s (Kubernetes %s) once, into %s\n", p.name, version, directory)
	unfinished := filepath.Join(directory, p.name+".unfinished")
	command := exec.Command("go", "build", "-mod=readonly", "-trimpath",
		"-ldflags", linkerFlags(version), "-o", unfinished, p.packagePath)
	command.Dir = filepath.Join(root, filepath.Dir(moduleFile))
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false", "GOOS=", "GOARCH=")
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return errors.Join(fmt.Errorf("building %s: %w", p.packagePath, err), removeIfExists(unfinished))
	}
	if err := os.Rename(unfinished, filepath.Join(directory, p.name)); err != nil {
		return fmt.Errorf("renaming %s: %w", p.name, err)
	}
	fmt.Fprintf(os.Stderr, "built %s in %s\n", p.name, time.Since(began).Round(time.Second))
	return nil
}

// linkerFlags returns the linker flags that set the version of the API server, as in a release
// build. Feature gates and version emulation depend on this version.
func linkerFlags(version string) string {
	const variables = "k8s.io/component-base/version."
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	return fmt.Sprintf("-s -w -X %[1]sgitVersion=%[2]s -X %[1]sgitMajor=%[3]s -X %[1]sgitMinor=%[4]s",
		variables, version, parts[0], parts[1])
}

// lock locks a file. If another process has locked the file, it waits until the file is unlocked.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the build lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
	}
	return func() { file.Close() }, nil
}

func removeIfExists(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
