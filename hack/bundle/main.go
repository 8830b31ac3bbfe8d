// Command bundle generates the OLM bundle (format registry+v1) of the project. It reads
// config/, so that OLM and kustomize install the same objects.
//
//	bundle -root PROJECT
//
// The environment variable IMAGE sets the image of the operator. The default image is
// sluice:VERSION.
package main

//go:generate go run . -root ../..

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

func main() {
	root := flag.String("root", ".", "`directory` of the project")
	flag.Parse()
	if err := run(*root, os.Getenv("IMAGE")); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

// run generates the bundle and replaces the directory bundle/ of the project.
func run(root, image string) error {
	content, err := os.ReadFile(filepath.Join(root, "VERSION"))
	if err != nil {
		return err
	}
	version := strings.TrimSpace(string(content))
	if image == "" {
		image = "sluice:" + version
	}
	installed, err := render(root, image)
	if err != nil {
		return err
	}
	samples, err := readAll(filepath.Join(root, "config/samples"))
	if err != nil {
		return err
	}
	files, err := manifests(root, version, image, installed, samples)
	if err != nil {
		return err
	}
	for name, text := range metadata() {
		files[name] = text
	}
	directory := filepath.Join(root, "bundle")
	if err := os.RemoveAll(directory); err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// render returns the objects of config/default with the given image.
func render(root, image string) ([]*unstructured.Unstructured, error) {
	command := exec.Command(filepath.Join(root, "hack/manifests.sh"), image)
	command.Stderr = os.Stderr
	text, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("rendering config/default: %w", err)
	}
	return decode(text)
}

// readAll reads the objects in a directory, sorted by file name.
func readAll(directory string) ([]*unstructured.Unstructured, error) {
	names, err := filepath.Glob(filepath.Join(directory, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for _, name := range names {
		if filepath.Base(name) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		objects, err := decode(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, objects...)
	}
	return out, nil
}

func decode(text []byte) ([]*unstructured.Unstructured, error) {
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), len(text)+1)
	var out []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		if err := documents.Decode(&object.Object); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		if object.Object != nil {
			out = append(out, object)
		}
	}
}

// encode returns an object as YAML with sorted fields.
func encode(object any) ([]byte, error) {
	text, err := sigsyaml.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	return text, nil
}
