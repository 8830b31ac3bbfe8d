package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/inventory"
)

// Stdin is the path that means standard input, and StdinName is how faults
// name it.
const (
	Stdin     = "-"
	StdinName = "standard input"
)

// Read reads every path: a file of any name, a directory with the *.yaml,
// *.yml and *.json files below it (hidden ones left out), or "-" for stdin. A
// file that is reached twice is read once. The error is an inventory.Errors with every
// fault found; then the set is nil.
func Read(paths []string, stdin io.Reader) (*inventory.Set, error) {
	r := reader{stdin: stdin, seen: map[string]bool{}}
	if len(paths) == 0 {
		return nil, inventory.Errors{{Origin: inventory.Origin{File: "input"}, Message: "nothing to read: give a file, a directory or - with -f"}}
	}
	for _, path := range paths {
		r.path(path)
	}
	set, faults := decodeSources(r.sources)
	faults = append(r.faults, faults...)
	if len(faults) > 0 {
		return nil, faults
	}
	return set, nil
}

// source is the text of one file.
type source struct {
	name string
	data []byte
	// listed reports that the file was found in a directory; there it may be
	// empty.
	listed bool
}

// reader collects the files that the paths mean.
type reader struct {
	stdin   io.Reader
	seen    map[string]bool
	sources []source
	faults  inventory.Errors
}

func (r *reader) fault(path, format string, args ...any) {
	r.faults = append(r.faults, &inventory.Error{Origin: inventory.Origin{File: path}, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) path(path string) {
	if path == Stdin {
		if r.firstVisit(Stdin) {
			data, err := io.ReadAll(r.stdin)
			if err != nil {
				r.fault(StdinName, "reading: %v", err)
				return
			}
			r.sources = append(r.sources, source{name: StdinName, data: data})
		}
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		r.fault(path, "%s", reasonOf(err))
	case info.IsDir():
		if r.directory(path) == 0 {
			r.fault(path, "the directory holds no *.yaml, *.yml or *.json file")
		}
	default:
		r.file(path, false)
	}
}

// directory reads what lies below and counts the files.
func (r *reader) directory(path string) int {
	entries, err := os.ReadDir(path)
	if err != nil {
		r.fault(path, "%s", reasonOf(err))
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
			r.file(name, true)
		}
	}
	return count
}

func (r *reader) file(path string, listed bool) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		if abs, err := filepath.Abs(target); err == nil && !r.firstVisit(abs) {
			return
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		r.fault(path, "%s", reasonOf(err))
		return
	}
	r.sources = append(r.sources, source{name: path, data: data, listed: listed})
}

func (r *reader) firstVisit(key string) bool {
	if r.seen[key] {
		return false
	}
	r.seen[key] = true
	return true
}

// reasonOf takes the path out of a file error: the fault names it already.
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

func sortedKeys(m map[string]int) []string {
	return slices.Sorted(maps.Keys(m))
}
