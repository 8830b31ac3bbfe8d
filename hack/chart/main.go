// Command chart generates parts of the Helm chart in charts/sluice from other files of the project,
// so that Helm and kustomize install the same objects. It also packages the chart.
//
//	chart -root PROJECT                          generate
//	chart -root PROJECT -package dist -image IMAGE   package
//
// These parts of the chart are generated:
//
//	Chart.yaml             the version, from the file VERSION
//	crds/                  from config/crd
//	files/dashboard.json   from config/prometheus
//	templates/             the files that begin with "Generated", from config/
//	values.schema.json     from the type values, the CRD of the kind Enforcer, and the comments
//	                       in values.yaml
package main

//go:generate go run . -root ../..

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sluicenet/sluice/hack/files"
)

func main() {
	root := flag.String("root", ".", "`directory` of the project")
	target := flag.String("package", "", "`directory` for the packaged chart; without it, the chart is generated")
	image := flag.String("image", "", "`image` of Sluice in the values of the packaged chart (default: as in values.yaml)")
	flag.Parse()
	run := func() error { return generate(*root) }
	if *target != "" {
		run = func() error { return pack(chartDirectory(*root), *target, *image) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func chartDirectory(root string) string { return filepath.Join(root, "charts/sluice") }

// generate writes the generated parts of the chart.
func generate(root string) error {
	content, err := generated(root)
	if err != nil {
		return err
	}
	directory := chartDirectory(root)
	if err := removeStale(directory, content); err != nil {
		return err
	}
	return files.Write(directory, content)
}

// removeStale removes files that an earlier version of this program generated and the current
// version does not generate.
func removeStale(directory string, files map[string][]byte) error {
	for _, pattern := range []string{"crds/*", "templates/*", "files/*"} {
		paths, err := filepath.Glob(filepath.Join(directory, pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			name, err := filepath.Rel(directory, path)
			if err != nil {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			handwritten := strings.HasPrefix(name, "templates/") && !bytes.HasPrefix(content, []byte(header))
			if _, ok := files[name]; ok || handwritten {
				continue
			}
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// generated returns the contents of the generated files. The keys are paths in the chart.
func generated(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, add := range []func(string, map[string][]byte) error{addMetadata, addDefinitions, addTemplates, addDashboard, addSchema} {
		if err := add(root, files); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// versions matches the lines of Chart.yaml with the version of the project.
var versions = regexp.MustCompile(`(?m)^(version|appVersion): .*$`)

// addMetadata adds Chart.yaml with the version in the file VERSION.
func addMetadata(root string, files map[string][]byte) error {
	version, err := projectVersion(root)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(chartDirectory(root), "Chart.yaml"))
	if err != nil {
		return err
	}
	if len(versions.FindAll(content, -1)) != 2 {
		return errors.New("no lines begin with version: and appVersion: in Chart.yaml")
	}
	files["Chart.yaml"] = versions.ReplaceAll(content, []byte("${1}: "+version))
	return nil
}

func projectVersion(root string) (string, error) {
	content, err := os.ReadFile(filepath.Join(root, "VERSION"))
	return strings.TrimSpace(string(content)), err
}

// addDashboard adds the Grafana dashboard.
func addDashboard(root string, files map[string][]byte) error {
	content, err := os.ReadFile(filepath.Join(root, "config/prometheus/dashboard.json"))
	files["files/dashboard.json"] = content
	return err
}
