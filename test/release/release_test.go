package release

import (
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

func sorted(in []string) []string { return slices.Sorted(slices.Values(in)) }

// TestRelease builds a release twice, and then uses only its artefacts.
func TestRelease(t *testing.T) {
	ctrllog.SetLogger(logr.Discard())
	r := built(t)
	r.checkNames(t)
	t.Run("verification", func(t *testing.T) { checkVerification(t, r) })
	t.Run("documentation", func(t *testing.T) { checkDocumentation(t, r) })
	t.Run("Krew", func(t *testing.T) { checkKrew(t, r) })
	t.Run("upgrade edge", func(t *testing.T) { checkEdge(t, r) })
	t.Run("install.yaml", func(t *testing.T) { installManifest(t, r) })
	t.Run("Helm", func(t *testing.T) { installChart(t, r) })
	t.Run("OLM", func(t *testing.T) { installBundle(t, r) })
}

// checkVerification checks that the artefacts can be verified, and that verification rejects
// changed copies.
func checkVerification(t *testing.T, r release) {
	if out, err := r.verify(t, r.artefacts, r.key); err != nil || !strings.Contains(out, "signatures are correct") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := r.verify(t, r.artefacts, ""); err != nil || !strings.Contains(out, "NOT CHECKED") {
		t.Errorf("without a key: %v\n%s", err, out)
	}
	write(t, read(t, r.key), r.artefacts, "../sluice.key.pub")
	follow(t, r.clone, "the directory of the artefacts", r.artefacts)
	for name, change := range map[string]struct {
		edit func(directory string)
		want string
	}{
		"an artefact":            {func(d string) { write(t, read(t, d, "install.yaml")+"\n", d, "install.yaml") }, "differ from SHA256SUMS"},
		"an additional artefact": {func(d string) { write(t, "", d, "tool") }, "differ from SHA256SUMS"},
		"the catalog": {func(d string) {
			write(t, read(t, d, "catalog.yaml")+"\n", d, "catalog.yaml")
			sum(t, d)
		}, "the image of the catalog does not contain catalog.yaml"},
		"the image in install.yaml": {func(d string) {
			write(t, strings.ReplaceAll(read(t, d, "install.yaml"), "@sha256:", ":"), d, "install.yaml")
			sum(t, d)
		}, "install.yaml does not name the image sluice"},
		"the manifest for Krew": {func(d string) {
			write(t, strings.Replace(read(t, d, "sluice.yaml"), "arch: arm64", "arch: riscv64", 1), d, "sluice.yaml")
			sum(t, d)
		}, "sluice.yaml differs from the archive"},
		"the SBOM": {func(d string) {
			name := "sluice_" + r.version + ".cdx.json"
			write(t, strings.Replace(read(t, d, name), "pkg:golang/k8s.io/api@", "pkg:golang/k8s.io/api@v9", 1), d, name)
			sum(t, d)
		}, "the SBOM"},
		"the checksums": {func(d string) {
			write(t, read(t, d, "RELEASE_NOTES.md")+"\n", d, "RELEASE_NOTES.md")
			sum(t, d)
		}, "SHA256SUMS.sig"},
		"the signature": {func(d string) { write(t, strings.Repeat("0", 64), d, "SHA256SUMS.sig") }, "SHA256SUMS.sig"},
		"the provenance": {func(d string) {
			write(t, strings.Replace(read(t, d, "provenance.intoto.json"), `"payload": "ey`, `"payload": "eyJ`, 1), d, "provenance.intoto.json")
		}, "provenance.intoto.json"},
	} {
		directory := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(directory, os.DirFS(r.artefacts)); err != nil {
			t.Fatal(err)
		}
		change.edit(directory)
		if out, err := r.verify(t, directory, r.key); err == nil || !strings.Contains(out, change.want) {
			t.Errorf("after a change of %s: %v\n%s", name, err, out)
		}
	}
}

// sum writes the correct checksums of changed artefacts, which an attacker can do without the key.
func sum(t *testing.T, directory string) {
	t.Helper()
	run(t, directory, []string{"LC_ALL=C"}, "bash", "-euo", "pipefail", "-c",
		"ls | grep -Ev '^(SHA256SUMS.*|provenance.*)$' | sort | xargs sha256sum >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS")
}

// checkDocumentation checks that the documentation is in its archive, and links to the sources of the
// release.
func checkDocumentation(t *testing.T, r release) {
	content, err := gzip.NewReader(strings.NewReader(read(t, r.artefacts, "sluice-docs_"+r.version+".tar.gz")))
	if err != nil {
		t.Fatal(err)
	}
	files := archived(t, content)
	source := "https://github.com/sluicenet/sluice/blob/" + strings.TrimSpace(run(t, r.clone, nil, "git", "rev-parse", "HEAD")) + "/docs/README.md"
	if page := string(files["index.html"]); !strings.Contains(page, `<a href="`+source+`">`) {
		t.Errorf("index.html does not link to %s:\n%s", source, page)
	}
	if len(files["style.css"]) == 0 || len(files["reference/lint.html"]) == 0 {
		t.Error("style.css or reference/lint.html is missing")
	}
}

// checkEdge checks that the catalog contains the previous version, and an upgrade edge from it to
// the new version.
func checkEdge(t *testing.T, r release) {
	catalog := read(t, r.artefacts, "catalog.yaml")
	for _, want := range []string{
		"- name: sluice.v" + past + "\n",
		"- name: sluice.v" + r.version + "\n  replaces: sluice.v" + past + "\n  skipRange: '>=0.0.0 <" + r.version + "'\n",
	} {
		if !strings.Contains(catalog, want) {
			t.Errorf("the catalog does not contain %q:\n%s", want, catalog)
		}
	}
}
