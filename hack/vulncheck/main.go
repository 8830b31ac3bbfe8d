// Command vulncheck checks the commands for known vulnerabilities that their code
// can reach, with govulncheck.
//
//	vulncheck [VERSION OF THE DATABASE]
//
// The database is the Go module golang.org/x/vulndb, so that it comes from the
// same proxy as every other module; without a version it is the newest one. If
// it cannot be downloaded, it checks nothing and prints "NOT CHECKED".
//
// A vulnerability in a module fails the check: go.mod selects the version. A
// vulnerability in the standard library is only reported, because its fix is a
// newer Go on the machine that builds.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// commands are the packages that are checked.
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

// A module is what `go mod download` prints.
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

// A vulnerability is one that the code can reach.
type vulnerability struct {
	id, module, found, fixed string
}

// standardLibrary is govulncheck's name of the module.
const standardLibrary = "stdlib"

// reached reads govulncheck's output and returns the vulnerabilities whose
// functions are called, in the order of the output.
func reached(output io.Reader) ([]vulnerability, error) {
	type frame struct{ Module, Version, Function string }
	var found []vulnerability
	seen := make(map[string]bool)
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
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading govulncheck's output: %w", err)
		}
		// A finding about a package or module that is only required names no function.
		f := message.Finding
		if f == nil || len(f.Trace) == 0 || f.Trace[0].Function == "" || seen[f.OSV] {
			continue
		}
		seen[f.OSV] = true
		found = append(found, vulnerability{f.OSV, f.Trace[0].Module, f.Trace[0].Version, f.FixedVersion})
	}
}

// report prints the vulnerabilities and returns an error if one is in a module.
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
