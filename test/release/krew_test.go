package release

import (
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// checkKrew checks the manifest for Krew: the checksum of each archive, and that the archive contains
// the program for its platform. It runs the program for this machine as a plugin.
func checkKrew(t *testing.T, r release) {
	var plugin struct {
		Spec struct {
			Version   string
			Platforms []struct {
				Selector         struct{ MatchLabels struct{ OS, Arch string } }
				URI, SHA256, Bin string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, r.artefacts, "sluice.yaml")), &plugin); err != nil {
		t.Fatal(err)
	}
	// An executable file begins with these bytes.
	begins := map[string]string{"linux": "\x7fELF", "windows": "MZ"}
	if plugin.Spec.Version != "v"+r.version || len(plugin.Spec.Platforms) != 3 {
		t.Fatalf("version %s, %d platforms", plugin.Spec.Version, len(plugin.Spec.Platforms))
	}
	for _, p := range plugin.Spec.Platforms {
		system, architecture := p.Selector.MatchLabels.OS, p.Selector.MatchLabels.Arch
		directory, name := path.Split(p.URI)
		if want := "https://github.com/sluicenet/sluice/releases/download/v" + r.version + "/"; directory != want {
			t.Errorf("%s is in %s, want %s", name, directory, want)
		}
		archive := read(t, r.artefacts, name)
		if sum := sha256.Sum256([]byte(archive)); hex.EncodeToString(sum[:]) != p.SHA256 {
			t.Errorf("%s: the checksum differs", name)
		}
		program := unpacked(t, name, archive)[p.Bin]
		if !strings.HasPrefix(string(program), begins[system]) || len(program) == 0 {
			t.Errorf("%s does not contain a program for %s", name, system)
		}
		if system == runtime.GOOS && architecture == runtime.GOARCH {
			checkPlugin(t, r, program)
		}
	}
}

// unpacked returns the files in an archive.
func unpacked(t *testing.T, name, archive string) map[string][]byte {
	t.Helper()
	if !strings.HasSuffix(name, ".zip") {
		content, err := gzip.NewReader(strings.NewReader(archive))
		if err != nil {
			t.Fatal(err)
		}
		return archived(t, content)
	}
	content, err := zip.NewReader(strings.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range content.File {
		file, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[entry.Name], err = io.ReadAll(file); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// checkPlugin runs a program under the name of the plugin, to which Krew links it.
func checkPlugin(t *testing.T, r release, program []byte) {
	t.Helper()
	directory := t.TempDir()
	file, link := filepath.Join(directory, "sluice"), filepath.Join(directory, "kubectl-sluice")
	if err := os.WriteFile(file, program, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if out := run(t, directory, nil, link, "version", "--client"); !strings.Contains(out, r.version) {
		t.Errorf("the version is %s", out)
	}
	if out := run(t, directory, nil, link, "--help"); !strings.Contains(out, "kubectl sluice") {
		t.Errorf("the help is %s", out)
	}
}
