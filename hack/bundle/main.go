// Command bundle generates the OLM bundle (format registry+v1) of the project. It reads
// config/, so that OLM and kustomize install the same objects.
//
//	bundle -root PROJECT -out DIRECTORY
//
// The environment variable IMAGE sets the image of the operator. The default image is
// sluice:VERSION. If SOURCE_DATE_EPOCH is set, the bundle contains this time as the time of its
// creation.
package main

//go:generate go run . -root ../..

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/config/objects"
	"github.com/sluicenet/sluice/hack/files"
)

func main() {
	root := flag.String("root", ".", "`directory` of the project")
	out := flag.String("out", "", "`directory` of the bundle, which is replaced (default PROJECT/bundle)")
	flag.Parse()
	if *out == "" {
		*out = filepath.Join(*root, "bundle")
	}
	if err := run(*root, *out, os.Getenv("IMAGE"), os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

// run generates the bundle and replaces the directory `out`. The parameter `epoch` is the creation
// time of the bundle in seconds since 1970. If it is "", run uses the time in config/manifests.
func run(root, out, image, epoch string) error {
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
	csv, err := base(root)
	if err != nil {
		return err
	}
	if err := annotate(csv, root, image, epoch); err != nil {
		return err
	}
	bundle, err := manifests(csv, version, image, installed)
	if err != nil {
		return err
	}
	for name, text := range metadata() {
		bundle[name] = text
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	return files.Write(out, bundle)
}

// render returns the objects of config/default with the given image.
func render(root, image string) ([]*unstructured.Unstructured, error) {
	command := exec.Command(filepath.Join(root, "hack/manifests.sh"), image)
	command.Stderr = os.Stderr
	text, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("rendering config/default: %w", err)
	}
	return objects.Decode(text)
}

// read reads the objects in a file.
func read(path string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out, err := objects.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// encode returns an object as YAML with sorted fields.
func encode(object any) ([]byte, error) {
	text, err := sigsyaml.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	return text, nil
}
