package hack_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// clients lists platforms for which a release contains the program, in addition to Linux.
var clients = map[string]struct{ system, architecture string }{
	"macOS, Intel": {"darwin", "amd64"},
	"macOS":        {"darwin", "arm64"},
	"Windows":      {"windows", "amd64"},
}

// TestPlatforms checks the types in the program sluice for the platforms on which it is only a client.
// The test does not compile the program, because that would take minutes: nearly no package of the
// build for Linux can be reused.
func TestPlatforms(t *testing.T) {
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := checker{
				files: token.NewFileSet(),
				sizes: types.SizesFor("gc", client.architecture),
				done:  map[string]*types.Package{"unsafe": types.Unsafe},
			}
			for _, p := range c.list(t, "GOOS="+client.system, "GOARCH="+client.architecture) {
				if err := c.check(&p); err != nil {
					t.Fatalf("%s: %v", p.ImportPath, err)
				}
			}
		})
	}
}

// sources describes a package as `go list` does.
type sources struct {
	ImportPath, Dir string
	GoFiles         []string
	// ImportMap maps the paths in import declarations to the paths of vendored packages.
	ImportMap map[string]string
	Module    *struct{ Main bool }
}

// checker checks the types of packages.
type checker struct {
	files *token.FileSet
	sizes types.Sizes
	done  map[string]*types.Package
}

// list returns the packages of the program. Each package follows the packages that it imports.
func (*checker) list(t *testing.T, environment ...string) (packages []sources) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap,Module", "./cmd/sluice")
	command.Dir = ".."
	command.Env = append(append(os.Environ(), "CGO_ENABLED=0"), environment...)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for decoder := json.NewDecoder(out); ; {
		var p sources
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	return packages
}

// check checks a package. It checks the bodies of functions only in packages of this project.
func (c *checker) check(p *sources) error {
	if p.ImportPath == "unsafe" {
		return nil
	}
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(c.files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	config := types.Config{Importer: importer{c, p.ImportMap}, Sizes: c.sizes, IgnoreFuncBodies: p.Module == nil || !p.Module.Main}
	var err error
	c.done[p.ImportPath], err = config.Check(p.ImportPath, c.files, files, nil)
	return err
}

// importer returns packages that the checker has checked.
type importer struct {
	*checker
	paths map[string]string
}

func (i importer) Import(path string) (*types.Package, error) {
	if mapped, ok := i.paths[path]; ok {
		path = mapped
	}
	if p := i.done[path]; p != nil {
		return p, nil
	}
	return nil, errors.New("not found: " + path)
}
