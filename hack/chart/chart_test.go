package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

const root = "../.."

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestValuesMatchType checks that values.yaml contains exactly the fields of the type values, and
// that each value has a comment of one or two lines.
func TestValuesMatchType(t *testing.T) {
	path := filepath.Join(chartDirectory(root), "values.yaml")
	content := read(t, path)
	if err := sigsyaml.UnmarshalStrict(content, &values{}); err != nil {
		t.Error(err)
	}
	var fields map[string]any
	if err := sigsyaml.Unmarshal(content, &fields); err != nil {
		t.Fatal(err)
	}
	comments, err := descriptions(path)
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := sigsyaml.Unmarshal(read(t, filepath.Join(chartDirectory(root), "values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	compare(t, "", schema, fields, comments)
}

// foreign lists the values whose fields are defined by Kubernetes or by the CRD of the kind
// Enforcer.
var foreign = map[string]bool{"global": true, "enforcer.spec": true, "operator.affinity": true, "operator.resources": true}

func compare(t *testing.T, path string, schema, fields map[string]any, comments map[string]string) {
	t.Helper()
	for name, property := range schema["properties"].(map[string]any) {
		below := strings.TrimPrefix(path+"."+name, ".")
		value, ok := fields[name]
		if below != "global" && (!ok || comments[below] == "") {
			t.Errorf("values.yaml contains no value %s with a comment", below)
		}
		nested := property.(map[string]any)
		if _, ok := nested["properties"]; ok && !foreign[below] {
			compare(t, below, nested, value.(map[string]any), comments)
		}
	}
}

// TestPackage checks that two packages of the same files are identical, that they contain all files,
// and that the image in the values of the package can be set.
func TestPackage(t *testing.T) {
	first, second := t.TempDir(), filepath.Join(t.TempDir(), "dist")
	for _, target := range []string{first, second} {
		if err := pack(chartDirectory(root), target, "registry.example:5000/sluice:v9@sha256:"+strings.Repeat("0", 64)); err != nil {
			t.Fatal(err)
		}
	}
	name := "sluice-" + strings.TrimSpace(string(read(t, root+"/VERSION"))) + ".tgz"
	content := read(t, filepath.Join(first, name))
	if !bytes.Equal(content, read(t, filepath.Join(second, name))) {
		t.Error("two packages of the same files differ")
	}
	files := unpack(t, content)
	err := fs.WalkDir(os.DirFS(chartDirectory(root)), ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if packed, ok := files["sluice/"+file]; !ok {
			t.Errorf("the package lacks %s", file)
		} else if file != "values.yaml" && !bytes.Equal(packed, read(t, filepath.Join(chartDirectory(root), file))) {
			t.Errorf("%s differs in the package", file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got values
	if err := sigsyaml.UnmarshalStrict(files["sluice/values.yaml"], &got); err != nil {
		t.Fatal(err)
	}
	want := image{"registry.example:5000/sluice", "v9", "sha256:" + strings.Repeat("0", 64), "IfNotPresent"}
	if got.Image != want {
		t.Errorf("the image is %+v, want %+v", got.Image, want)
	}
}

func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	uncompressed, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for reader := tar.NewReader(uncompressed); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}

// TestImageNeedsOneLine checks that packaging fails if values.yaml has no line for the image.
func TestImageNeedsOneLine(t *testing.T) {
	files := fstest.MapFS{"values.yaml": {Data: []byte("image: {repository: sluice}\n")}}
	if _, err := archiveOf(files, "sluice", "sluice:v9"); err == nil {
		t.Error("no error for values.yaml without a line for the repository")
	}
}

// TestUnknownPlacesOfNamespace checks that the generator rejects an object that contains the
// namespace in a longer text, because the chart could not replace it.
func TestUnknownPlacesOfNamespace(t *testing.T) {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"},
		"data": map[string]any{"user": "system:serviceaccount:sluice-system:sluice-agent"},
	}}
	if text, err := template(object); err == nil {
		t.Errorf("no error:\n%s", text)
	}
}
