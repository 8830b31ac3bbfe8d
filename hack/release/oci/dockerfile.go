// Package oci builds images from Dockerfiles without a container runtime, and reads and writes OCI
// archives. It supports Dockerfiles that only copy files: FROM scratch, ARG, LABEL, COPY, USER and
// ENTRYPOINT. `make release` uses this package, so it builds the same image from the Dockerfile as
// `make image`.
package oci

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/sluicenet/sluice/hack/release/pack"
)

// recipe is the content of a Dockerfile: the configuration of the image and the files in it.
type recipe struct {
	config v1.Config
	files  map[string]pack.File
}

// read reads a Dockerfile. The parameter `context` is the directory from which COPY copies. The
// parameter `arguments` contains the values of the build arguments.
func read(dockerfile, context string, arguments map[string]string) (*recipe, error) {
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		return nil, err
	}
	r := &recipe{config: v1.Config{Labels: map[string]string{}}, files: map[string]pack.File{}}
	known := map[string]string{}
	for _, line := range instructions(string(text)) {
		instruction, rest, _ := strings.Cut(line, " ")
		if instruction == "ARG" {
			value, ok := arguments[rest]
			if !ok {
				return nil, fmt.Errorf("%s: the build argument %s has no value", dockerfile, rest)
			}
			known[rest] = value
			continue
		}
		expanded := os.Expand(rest, func(name string) string { return known[name] })
		if err := r.add(instruction, expanded, context); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", dockerfile, line, err)
		}
	}
	return r, nil
}

// instructions returns the instructions of a Dockerfile. It removes comments, and joins the lines of
// an instruction.
func instructions(text string) []string {
	var out []string
	joined := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if before, ok := strings.CutSuffix(line, `\`); ok {
			joined += before
			continue
		}
		out = append(out, joined+line)
		joined = ""
	}
	return out
}

// label matches a label in the instruction LABEL, such as name=value or name="a value".
var label = regexp.MustCompile(`([^\s=]+)=(?:"([^"]*)"|(\S+))`)

func (r *recipe) add(instruction, rest, context string) error {
	switch instruction {
	case "FROM":
		if rest != "scratch" {
			return fmt.Errorf("only FROM scratch is supported")
		}
	case "LABEL":
		for _, match := range label.FindAllStringSubmatch(rest, -1) {
			r.config.Labels[match[1]] = match[2] + match[3]
		}
	case "USER":
		r.config.User = rest
	case "ENTRYPOINT":
		return json.Unmarshal([]byte(rest), &r.config.Entrypoint)
	case "COPY":
		fields := strings.Fields(rest)
		if len(fields) != 2 {
			return fmt.Errorf("want one source and one destination")
		}
		return r.copy(filepath.Join(context, fields[0]), fields[1])
	default:
		return fmt.Errorf("this instruction is not supported")
	}
	return nil
}

// copy adds a file, or all files below a directory, to the image.
func (r *recipe) copy(source, target string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	target = strings.TrimPrefix(path.Clean(target), "/")
	if !info.IsDir() {
		content, err := os.ReadFile(source)
		r.files[target] = pack.File{Content: content, Executable: info.Mode()&0o111 != 0}
		return err
	}
	files, err := pack.Directory(source)
	for name, file := range files {
		r.files[path.Join(target, name)] = file
	}
	return err
}
