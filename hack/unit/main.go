// Command unit runs the tests that need neither root nor an API server nor a browser.
//
//	unit [ARGUMENT OF go test]...
//
// Some packages create network namespaces or start an API server. The command leaves out each test
// that uses one of these packages, directly or through other declarations of the test's package. It
// finds these tests by analyzing the code, so that authors need not mark them. The tests run with
// -short, so randomized tests try fewer cases. `make test` runs all tests with all cases.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const module = "github.com/sluicenet/sluice/"

// environments lists the packages that need root, an API server or a browser. Tests that use these
// packages also need it.
var environments = []string{
	module + "test/browser",
	module + "test/kube",
	module + "test/lab",
	module + "test/labcluster",
}

// withoutServer is the name of an environment variable. If the variable is set, test/kube does
// not start an API server before the tests of a package.
const withoutServer = "SLUICE_TEST_WITHOUT_API_SERVER"

// A goPackage contains the fields that are read from the output of `go list -json`.
type goPackage struct {
	Dir, ImportPath                    string
	GoFiles, TestGoFiles, XTestGoFiles []string
}

func main() {
	err := run(os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "unit:", err)
	os.Exit(1)
}

func run(arguments []string) error {
	packages, err := list()
	if err != nil {
		return err
	}
	var whole []string
	mixed := make(map[string][]string)
	leftOut := 0
	for _, p := range packages {
		t, err := analyze(p)
		if err != nil {
			return err
		}
		leftOut += len(t.need)
		switch {
		case len(t.free) == 0:
		case len(t.need) == 0:
			whole = append(whole, p.ImportPath)
		default:
			mixed[p.ImportPath] = t.need
		}
	}
	failed := test(arguments, whole...)
	for _, p := range packages {
		if skip, ok := mixed[p.ImportPath]; ok {
			pattern := "-skip=^(" + strings.Join(skip, "|") + ")$"
			failed = errors.Join(failed, test(slices.Concat([]string{pattern}, arguments), p.ImportPath))
		}
	}
	fmt.Printf("left out %d tests that need root or an API server; run them with `make test`\n", leftOut)
	if failed != nil {
		return errors.New("tests failed")
	}
	return nil
}

func test(arguments []string, packages ...string) error {
	command := exec.Command("go", slices.Concat([]string{"test", "-short"}, arguments, packages)...)
	command.Env = append(os.Environ(), withoutServer+"=1")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command.Run()
}

// list returns all packages of the project that contain tests.
func list() ([]goPackage, error) {
	command := exec.Command("go", "list", "-json=Dir,ImportPath,GoFiles,TestGoFiles,XTestGoFiles", "./...")
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w", err)
	}
	var packages []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(output)))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading the list of packages: %w", err)
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 {
			packages = append(packages, p)
		}
	}
}

// analyze reads all files of a package and returns the package's tests.
func analyze(p goPackage) (tests, error) {
	g := newGraph(slices.Contains(environments, p.ImportPath))
	for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
		content, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			return tests{}, err
		}
		if err := g.add(name, content); err != nil {
			return tests{}, err
		}
	}
	return g.tests(), nil
}
