package sbom

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// program builds the command release, and returns the path of the program.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "release")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "..").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// written returns the SBOM of a program.
func written(t *testing.T, program string) []byte {
	t.Helper()
	const lock = "../../../ui/web/package-lock.json"
	if _, err := Packages(lock, "missing"); err == nil {
		t.Error("no error for a missing package")
	}
	packages, err := Packages(lock, "preact")
	if err != nil {
		t.Fatal(err)
	}
	content, err := Write("0.1.0", []string{program}, packages, time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestSchema validates an SBOM against the schema in testdata, which is a copy of the schema of
// CycloneDX.
func TestSchema(t *testing.T) {
	content := written(t, program(t))
	compiler := jsonschema.NewCompiler()
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schema.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name, schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for text, valid := range map[string]bool{
		string(content): true,
		strings.Replace(string(content), `"type": "application"`, `"type": "thing"`, 1): false,
	} {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(document); (err == nil) != valid {
			t.Errorf("valid is %v, want %v: %v", err == nil, valid, err)
		}
	}
}

// TestCheck checks that an SBOM that differs from its program is rejected.
func TestCheck(t *testing.T) {
	program := program(t)
	content := written(t, program)
	if err := Check(content, []string{program}); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(content, written(t, program)) {
		t.Error("two SBOMs of the same program differ")
	}
	for old, changed := range map[string]string{
		"pkg:golang/github.com/google/go-cmp@v": "pkg:golang/github.com/google/go-cmp@v9",
		`"alg": "SHA-256",`:                     `"alg": "SHA-384",`,
		"pkg:golang/std@":                       "pkg:golang/std@9",
	} {
		spoiled := strings.Replace(string(content), old, changed, 1)
		if err := Check([]byte(spoiled), []string{program}); err == nil {
			t.Errorf("%s became %s: no error", old, changed)
		}
	}
}
