package oci

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// context writes the files of a build to a directory.
func context(t *testing.T, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

var at = time.Unix(1_700_000_000, 0).UTC()

// TestImageOfTheProject builds the image from the Dockerfile of the project.
func TestImageOfTheProject(t *testing.T) {
	image, err := Build(Source{
		Dockerfile: "../../../Dockerfile", Context: context(t, map[string]string{"sluice-linux-arm64": "program", "LICENSE": "text"}),
		Arguments:    map[string]string{"TARGETARCH": "arm64", "VERSION": "0.1.0", "REVISION": "abc"},
		Architecture: "arm64", Time: at,
	})
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	labels := config.Config.Labels
	want := v1.Config{User: "65532:65532", Entrypoint: []string{"/sluice"}, Labels: labels}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if config.Architecture != "arm64" || config.OS != "linux" || !config.Created.Time.Equal(at) {
		t.Errorf("got %s/%s, created %v", config.OS, config.Architecture, config.Created)
	}
	const prefix = "org.opencontainers.image."
	if labels[prefix+"version"] != "0.1.0" || labels[prefix+"revision"] != "abc" || labels[prefix+"title"] != "Sluice" || len(labels) != 7 {
		t.Errorf("labels %v", labels)
	}
}

// TestArchive checks that two archives of the same files are identical, that the digest in an archive
// is the digest of the index, and that a changed archive is rejected.
func TestArchive(t *testing.T) {
	write := func() (string, string) {
		image, err := Build(Source{
			Dockerfile: filepath.Join(context(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY d /d/\n"}), "Dockerfile"),
			Context:    context(t, map[string]string{"d/b": "2", "d/a/c": "1"}), Architecture: "amd64", Time: at,
		})
		if err != nil {
			t.Fatal(err)
		}
		index, err := Index(image)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "image.tar")
		digest, err := WriteArchive(file, "registry.example/a:b", index, at)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		archive, err := Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := archive.Digest(); err != nil || got != digest {
			t.Errorf("the archive has digest %s, %v, want %s", got, err, digest)
		}
		if files, err := archive.Files("amd64"); err != nil || string(files["d/a/c"]) != "1" || len(files) != 2 {
			t.Errorf("the image contains %v, %v", files, err)
		}
		if files, err := archive.Files("arm64"); err == nil {
			t.Errorf("the image for another architecture contains %v", files)
		}
		return file, string(content)
	}
	file, first := write()
	if _, second := write(); first != second {
		t.Error("two archives differ")
	}
	changed := strings.Replace(first, `"architecture":"amd64"`, `"architecture":"arm64"`, 1)
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "another digest") {
		t.Errorf("a changed archive: %v", err)
	}
}

// TestUnsupportedDockerfiles checks that Build rejects a Dockerfile from which a container runtime
// would build a different image.
func TestUnsupportedDockerfiles(t *testing.T) {
	for text, want := range map[string]string{
		"FROM alpine":                   "only FROM scratch",
		"FROM scratch\nRUN true":        "not supported",
		"FROM scratch\nENV A=b":         "not supported",
		"FROM scratch\nARG OTHER":       "OTHER has no value",
		"FROM scratch\nCOPY a b /c/":    "one source",
		"FROM scratch\nCOPY missing /a": "no such file",
	} {
		directory := context(t, map[string]string{"Dockerfile": text})
		_, err := Build(Source{Dockerfile: filepath.Join(directory, "Dockerfile"), Context: directory, Time: at})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the error is %v, want %q", text, err, want)
		}
	}
}
