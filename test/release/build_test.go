package release

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/test/kube"
)

const (
	repository = "registry.example/sluice"
	// past is a released version in the catalog of the clones.
	past = "0.0.1"
)

// previous is a catalog that contains the version `past`.
const previous = `schema: olm.package
name: sluice
defaultChannel: alpha
---
schema: olm.channel
package: sluice
name: alpha
entries: [{name: sluice.v` + past + `}]
---
schema: olm.bundle
package: sluice
name: sluice.v` + past + `
image: registry.example/sluice-bundle:` + past + `
properties: [{type: olm.package, value: {packageName: sluice, version: ` + past + `}}]
`

// run runs a program in a directory and returns its output.
func run(t *testing.T, directory string, environment []string, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = directory
	command.Env = append(os.Environ(), environment...)
	var out, failure bytes.Buffer
	command.Stdout, command.Stderr = &out, &failure
	if err := command.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, &out, &failure)
	}
	return out.String()
}

func root(t *testing.T) string {
	t.Helper()
	directory, err := kube.ProjectRoot()
	if err != nil {
		t.Fatal(err)
	}
	return directory
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, content string, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// prepared clones the project, and adds the changes that are not committed. Then it makes the
// commit that a maintainer makes before a release. This commit contains the section of the version
// in the changelog, and the catalog of the previous releases. prepared returns the clone and the
// version.
func prepared(t *testing.T) (clone, version string) {
	t.Helper()
	source, clone := root(t), filepath.Join(t.TempDir(), "sluice")
	run(t, source, nil, "git", "clone", "--quiet", "--no-checkout", source, clone)
	run(t, source, nil, "bash", "-c", `git ls-files -z --cached --others --exclude-standard |
		while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done |
		tar --null --files-from=- -c | tar -x -C "$0"`, clone)
	version = strings.TrimSpace(read(t, clone, "VERSION"))
	changelog := read(t, clone, "CHANGELOG.md")
	if heading := "\n## [" + version + "]"; !strings.Contains(changelog, heading) {
		changelog = strings.Replace(changelog, "\n## [Unreleased]\n", "\n## [Unreleased]\n"+heading+" - 2026-11-29\n", 1)
	}
	write(t, changelog, clone, "CHANGELOG.md")
	write(t, previous, clone, "config/catalog/catalog.yaml")
	commit(t, clone)
	return clone, version
}

func commit(t *testing.T, clone string) {
	t.Helper()
	run(t, clone, nil, "git", "add", "--all")
	run(t, clone, nil, "git", "-c", "user.name=release", "-c", "user.email=release@sluice.dev", "commit", "--quiet", "--message=prepare a release")
}

// release is a signed release.
type release struct {
	clone, version string
	// artefacts is the directory of the artefacts, and key the file with the public key.
	artefacts, key string
}

// blocks matches the shell commands in docs/releasing.md. The first line of a block is a comment that
// names the directory in which the block runs.
var blocks = regexp.MustCompile("(?s)\n *```sh\n *# in (.*?)\n(.*?)\n *```\n")

// follow runs the commands of docs/releasing.md whose comment names the directory `place`. The
// commands run in `directory`, without access to a module proxy.
func follow(t *testing.T, clone, place, directory string) {
	t.Helper()
	found := false
	for _, block := range blocks.FindAllStringSubmatch(read(t, clone, "docs/releasing.md"), -1) {
		if block[1] == place {
			found = true
			run(t, directory, environment, "bash", "-euo", "pipefail", "-c", block[2])
		}
	}
	if !found {
		t.Errorf("docs/releasing.md has no commands that run in %s", place)
	}
}

// environment contains environment variables for `make release`. The release contains the client for
// only one other platform, because a build for a platform takes minutes if nothing is in the build
// cache.
var environment = []string{"GOPROXY=off", "REPOSITORY=" + repository, "CLIENTS=windows/amd64"}

// built builds a release in two clones, and checks that the artefacts are identical. The first build
// follows the documentation, which creates the key next to the clone.
func built(t *testing.T) release {
	t.Helper()
	clone, version := prepared(t)
	follow(t, clone, "a clean clone", clone)
	second := filepath.Join(filepath.Dir(clone), "second")
	run(t, clone, nil, "git", "clone", "--quiet", clone, second)
	run(t, second, environment, "make", "release", "VERSION="+version, "RELEASE_KEY=../sluice.key")
	artefacts := filepath.Join("dist/release", version)
	compare(t, filepath.Join(clone, artefacts), filepath.Join(second, artefacts))
	return release{clone, version, filepath.Join(clone, artefacts), filepath.Join(filepath.Dir(clone), "sluice.key.pub")}
}

// compare checks that two directories contain the same files.
func compare(t *testing.T, first, second string) {
	t.Helper()
	a, b := contents(t, first), contents(t, second)
	for name := range a {
		if a[name] != b[name] {
			t.Errorf("two builds of %s differ", name)
		}
		delete(b, name)
	}
	for name := range b {
		t.Errorf("only the second build wrote %s", name)
	}
}

func contents(t *testing.T, directory string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := fs.WalkDir(os.DirFS(directory), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found[name] = read(t, directory, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// verify runs `release verify`, and returns its output and error.
func (r release) verify(t *testing.T, directory, key string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "-C", "hack/release", "run", ".", "verify", "-key", key, directory)
	command.Dir = r.clone
	out, err := command.CombinedOutput()
	return string(out), err
}

func (r release) checkNames(t *testing.T) {
	t.Helper()
	var got []string
	for name := range contents(t, r.artefacts) {
		got = append(got, strings.ReplaceAll(name, r.version, "VERSION"))
	}
	want := []string{
		"RELEASE_NOTES.md", "SHA256SUMS", "SHA256SUMS.sig", "catalog.yaml", "install.yaml", "provenance.intoto.json", "sluice-VERSION.tgz",
		"sluice-bundle_VERSION.oci.tar", "sluice-catalog_VERSION.oci.tar", "sluice-docs_VERSION.tar.gz", "sluice.yaml", "sluice_VERSION.cdx.json", "sluice_VERSION.oci.tar",
		"sluice_VERSION_linux_amd64.tar.gz", "sluice_VERSION_linux_arm64.tar.gz", "sluice_VERSION_windows_amd64.zip",
	}
	if diff := cmp.Diff(want, sorted(got)); diff != "" {
		t.Errorf("artefacts (-want +got):\n%s", diff)
	}
}
