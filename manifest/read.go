package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/inventory"
)

// Stdin is the path that stands for standard input. StdinName is the name of
// standard input in errors.
const (
	Stdin     = "-"
	StdinName = "standard input"
)

// optionalFiles are the names of files that belong to Helm or Kustomize. If Read finds such a
// file in a directory, it skips documents in the file that are not Kubernetes objects.
var optionalFiles = []string{"Chart.yaml", "values.yaml", "kustomization.yaml", "kustomization.yml"}

// Read reads the objects from each path. A path is a file, a directory, or "-" for stdin. In a
// directory and its subdirectories, Read reads all files *.yaml, *.yml and *.json, except hidden
// files. If several paths refer to the same file, Read reads the file only once. If the input
// contains errors, Read returns a nil set, and returns all errors as inventory.Errors.
func Read(paths []string, stdin io.Reader) (*inventory.Set, error) {
	r := reader{stdin: stdin, seen: map[string]bool{}}
	if len(paths) == 0 {
		return nil, inventory.Errors{{Origin: inventory.Origin{File: "input"}, Message: "nothing to read: give a file, a directory or - with -f"}}
	}
	for _, path := range paths {
		r.path(path)
	}
	set, errs := decodeSources(r.sources)
	errs = append(r.errs, errs...)
	if len(errs) > 0 {
		return nil, errs
	}
	return set, nil
}

// source is one file and its text.
type source struct {
	name string
	data []byte
	// listed is true if the file was found in a directory. Such a file can be empty.
	listed bool
	// optional is true if the file can contain documents that are not Kubernetes
	// objects.
	optional bool
}

// reader collects the files from all paths.
type reader struct {
	stdin   io.Reader
	seen    map[string]bool
	sources []source
	errs    inventory.Errors
}

func (r *reader) fail(path, message string) {
	r.errs = append(r.errs, &inventory.Error{Origin: inventory.Origin{File: path}, Message: message})
}

func (r *reader) path(path string) {
	if path == Stdin {
		r.standardInput()
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		r.fail(path, reasonOf(err))
	case !info.IsDir():
		r.file(source{name: path})
	case r.directory(path) == 0:
		r.fail(path, "the directory contains no *.yaml, *.yml or *.json file")
	}
}

func (r *reader) standardInput() {
	if !r.firstVisit(Stdin) {
		return
	}
	data, err := io.ReadAll(r.stdin)
	if err != nil {
		r.fail(StdinName, fmt.Sprintf("reading: %v", err))
		return
	}
	r.sources = append(r.sources, source{name: StdinName, data: data})
}

// directory reads all files in a directory and its subdirectories. It returns the number of
// files.
func (r *reader) directory(path string) int {
	entries, err := os.ReadDir(path)
	if err != nil {
		r.fail(path, reasonOf(err))
		return 1
	}
	count := 0
	for _, entry := range entries {
		name := filepath.Join(path, entry.Name())
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if entry.IsDir() {
			count += r.directory(name)
			continue
		}
		switch filepath.Ext(name) {
		case ".yaml", ".yml", ".json":
			count++
			r.file(source{name: name, listed: true, optional: slices.Contains(optionalFiles, entry.Name())})
		}
	}
	return count
}

// file reads a source and adds it to the list. If the file was read before, it does nothing.
func (r *reader) file(s source) {
	if target, err := filepath.EvalSymlinks(s.name); err == nil {
		if abs, err := filepath.Abs(target); err == nil && !r.firstVisit(abs) {
			return
		}
	}
	var err error
	if s.data, err = os.ReadFile(s.name); err != nil {
		r.fail(s.name, reasonOf(err))
		return
	}
	r.sources = append(r.sources, s)
}

func (r *reader) firstVisit(key string) bool {
	if r.seen[key] {
		return false
	}
	r.seen[key] = true
	return true
}

// reasonOf returns the message of a file error without the path of the file.
func reasonOf(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "no such file or directory"
	}
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}
