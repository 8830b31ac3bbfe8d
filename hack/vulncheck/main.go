// Command vulncheck runs govulncheck on the project's commands and reports the
// known vulnerabilities that their code can reach.
//
//	vulncheck [VERSION OF THE DATABASE]
//
// The database is the Go module golang.org/x/vulndb, so that it can be downloaded
// from the same proxy as every other module. Without an argument, the newest
// version is used. If the database cannot be downloaded, the command checks nothing
// and prints "NOT CHECKED".
//
// A vulnerability in a module makes the check fail, because an update of go.mod can fix it. A
// vulnerability in the standard library is reported, but does not make the check fail, because only
// a newer version of Go on the build machine fixes it.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// commands is the pattern of the packages to check.
const commands = "./cmd/..."

func main() {
	version := "latest"
	if len(os.Args) > 1 {
		version = os.Args[1]
	}
	if err := run(version); err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		os.Exit(1)
	}
}

func run(version string) error {
	database, err := download("golang.org/x/vulndb@" + version)
	if err != nil {
		fmt.Printf("vulncheck: NOT CHECKED: no vulnerability database: %v\n", err)
		return nil
	}
	fmt.Printf("vulncheck: database %s\n", database.Version)
	folder := filepath.Join(database.Dir, "data", "osv")
	command := exec.Command("go", "tool", "-modfile=hack/tools/go.mod",
		"govulncheck", "-format=json", "-db=file://"+folder, commands)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return fmt.Errorf("running govulncheck: %w", err)
	}
	found, err := reached(bytes.NewReader(output))
	if err != nil {
		return err
	}
	return report(os.Stdout, found)
}

// A module contains the fields that are read from the output of `go mod download
// -json`.
type module struct {
	Version, Dir, Error string
}

func download(name string) (module, error) {
	output, err := exec.Command("go", "mod", "download", "-json", name).Output()
	var m module
	if jsonErr := json.Unmarshal(output, &m); jsonErr != nil {
		return m, errors.Join(fmt.Errorf("downloading %s", name), err)
	}
	if m.Error != "" {
		return m, errors.New(m.Error)
	}
	return m, err
}

// A vulnerability is a known vulnerability that the checked code can reach.
type vulnerability struct {
	id, module, found, fixed string
}

// standardLibrary is the module name that govulncheck uses for Go's standard
// library.
const standardLibrary = "stdlib"

// The function `reached` reads the output of govulncheck. It returns the vulnerabilities whose
// functions the code calls, sorted by module and ID. Some vulnerabilities are both in the standard
// library and in a module, for example in net/http and in golang.org/x/net/http2. The result
// contains such a vulnerability twice, once for the standard library and once for the module.
func reached(output io.Reader) ([]vulnerability, error) {
	type frame struct{ Module, Version, Function string }
	var found []vulnerability
	seen := make(map[[2]string]bool)
	decoder := json.NewDecoder(output)
	for {
		var message struct {
			Finding *struct {
				OSV          string `json:"osv"`
				FixedVersion string `json:"fixed_version"`
				Trace        []frame
			}
		}
		if err := decoder.Decode(&message); errors.Is(err, io.EOF) {
			slices.SortFunc(found, func(a, b vulnerability) int {
				return cmp.Or(cmp.Compare(a.module, b.module), cmp.Compare(a.id, b.id))
			})
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading govulncheck's output: %w", err)
		}
		// A finding without a function means that the code only requires the module or only
		// imports the package.
		f := message.Finding
		if f == nil || len(f.Trace) == 0 || f.Trace[0].Function == "" {
			continue
		}
		place := [2]string{f.OSV, f.Trace[0].Module}
		if seen[place] {
			continue
		}
		seen[place] = true
		found = append(found, vulnerability{f.OSV, f.Trace[0].Module, f.Trace[0].Version, f.FixedVersion})
	}
}

// report prints the vulnerabilities. It returns an error if any vulnerability is in a module
// other than the standard library.
func report(output io.Writer, found []vulnerability) error {
	inModules := 0
	for _, v := range found {
		fixed := v.fixed
		if fixed == "" {
			fixed = "no version"
		}
		fmt.Fprintf(output, "https://pkg.go.dev/vuln/%s in %s %s, fixed in %s\n", v.id, v.module, v.found, fixed)
		if v.module != standardLibrary {
			inModules++
		}
	}
	fmt.Fprintf(output, "vulncheck: %d reachable vulnerabilities in modules, %d in the standard library of this Go\n",
		inModules, len(found)-inModules)
	if inModules > 0 {
		return errors.New("update the modules above: go get MODULE@VERSION")
	}
	return nil
}
