package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/hack/release/krew"
	"github.com/sluicenet/sluice/hack/release/oci"
	"github.com/sluicenet/sluice/hack/release/pack"
	"github.com/sluicenet/sluice/hack/release/sbom"
	"github.com/sluicenet/sluice/hack/release/signing"
)

// format returns checksums in the format of the program sha256sum.
func format(sums map[string]string) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&out, "%s  %s\n", sums[name], name)
	}
	return out.String()
}

// verify checks the artefacts in a directory: the checksums, the signatures, the SBOM, and whether
// the manifests name the images in the release. Without a key, verify does not check the
// signatures, and prints that they are not checked.
func verify(ctx context.Context, directory, keyFile string) error {
	sums, err := checksums(directory)
	if err != nil {
		return err
	}
	listed, err := os.ReadFile(filepath.Join(directory, sumsFile))
	if err != nil {
		return err
	}
	if diff := cmp.Diff(string(listed), format(sums)); diff != "" {
		return fmt.Errorf("the artefacts differ from %s (-listed +found):\n%s", sumsFile, diff)
	}
	version, err := versionOf(sums)
	if err != nil {
		return err
	}
	if err := verifyContents(directory, version, sums); err != nil {
		return err
	}
	if keyFile == "" {
		fmt.Printf("%s: the checksums are correct; signatures NOT CHECKED, because neither -key nor $%s names a public key\n", directory, keyVariable)
		return nil
	}
	if err := verifySignatures(ctx, directory, keyFile, version, listed, sums); err != nil {
		return err
	}
	fmt.Printf("%s: version %s, the checksums and signatures are correct\n", directory, version)
	return nil
}

// verifyContents checks that the artefacts in a directory agree with each other.
func verifyContents(directory, version string, sums map[string]string) error {
	return errors.Join(verifyReferences(directory, version), verifyCatalog(directory, version), verifyPrograms(directory, version, sums))
}

// versionOf returns the version in the name of the SBOM.
func versionOf(sums map[string]string) (string, error) {
	for name := range sums {
		if version, ok := strings.CutSuffix(strings.TrimPrefix(name, "sluice_"), ".cdx.json"); ok {
			return version, nil
		}
	}
	return "", errors.New("the release has no SBOM")
}

func verifySignatures(ctx context.Context, directory, keyFile, version string, listed []byte, sums map[string]string) error {
	key, err := signing.Load(keyFile)
	if err != nil {
		return err
	}
	signature, err := os.ReadFile(filepath.Join(directory, signatureFile))
	if err != nil {
		return err
	}
	if err := key.Verify(ctx, listed, signature); err != nil {
		return fmt.Errorf("%s: %w", signatureFile, err)
	}
	envelope, err := os.ReadFile(filepath.Join(directory, provenanceFile))
	if err != nil {
		return err
	}
	origin, artefacts, err := signing.Verify(ctx, key, envelope)
	if err != nil {
		return fmt.Errorf("%s: %w", provenanceFile, err)
	}
	if origin.Version != version {
		return fmt.Errorf("%s is for version %s, want %s", provenanceFile, origin.Version, version)
	}
	if diff := cmp.Diff(artefacts, sums); diff != "" {
		return fmt.Errorf("the artefacts differ from %s (-provenance +found):\n%s", provenanceFile, diff)
	}
	return nil
}

// verifyReferences checks that install.yaml, the chart and the catalog contain the digest of the
// image, and that the catalog contains the digest of the bundle image.
func verifyReferences(directory, version string) error {
	for name, holders := range map[string][]string{
		"sluice":        {installFile, "sluice-" + version + ".tgz", catalogFile},
		"sluice-bundle": {catalogFile},
	} {
		archive, err := oci.Open(filepath.Join(directory, imageFile(name, version)))
		if err != nil {
			return err
		}
		digest, err := archive.Digest()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, holder := range holders {
			content, err := contentOf(filepath.Join(directory, holder))
			if err != nil {
				return err
			}
			if !bytes.Contains(content, []byte(digest)) {
				return fmt.Errorf("%s does not name the image %s with digest %s", holder, name, digest)
			}
		}
	}
	return nil
}

// contentOf returns the content of a file. For a .tgz archive, it returns the contents of all files
// in the archive, one after another.
func contentOf(file string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if err != nil || filepath.Ext(file) != ".tgz" {
		return content, err
	}
	files, err := pack.ReadCompressed(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return bytes.Join(slices.Collect(maps.Values(files)), nil), nil
}

// filesOf returns the files in the image of the release for an architecture.
func filesOf(directory, name, version, architecture string) (map[string][]byte, error) {
	archive, err := oci.Open(filepath.Join(directory, imageFile(name, version)))
	if err != nil {
		return nil, err
	}
	return archive.Files(architecture)
}

// verifyCatalog checks that the image of the catalog contains catalog.yaml.
func verifyCatalog(directory, version string) error {
	files, err := filesOf(directory, "sluice-catalog", version, architectures[0])
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(directory, catalogFile))
	if err != nil {
		return err
	}
	if !bytes.Equal(files["configs/sluice/"+catalogFile], content) {
		return fmt.Errorf("the image of the catalog does not contain %s", catalogFile)
	}
	return nil
}

// verifyPrograms checks that the manifest for Krew lists all archives with their checksums, that the
// image contains the programs in the archives for Linux, and that the SBOM lists the modules of all
// programs.
func verifyPrograms(directory, version string, sums map[string]string) error {
	platforms, err := verifyArchives(directory, version, sums)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "verify-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	var programs []string
	for _, p := range platforms {
		program, err := p.unpack(directory, version)
		if err != nil {
			return err
		}
		if p.system == "linux" {
			image, err := filesOf(directory, "sluice", version, p.architecture)
			if err != nil {
				return err
			}
			if !bytes.Equal(program, image["sluice"]) {
				return fmt.Errorf("the image and the archive for %s contain different programs", p.architecture)
			}
		}
		file := filepath.Join(scratch, p.file())
		if err := os.WriteFile(file, program, 0o600); err != nil {
			return err
		}
		programs = append(programs, file)
	}
	text, err := os.ReadFile(filepath.Join(directory, sbomFile(version)))
	if err != nil {
		return err
	}
	return sbom.Check(text, programs)
}

// verifyArchives checks that the manifest for Krew lists exactly the archives in the release, with
// their checksums and programs. It returns the platforms of the archives.
func verifyArchives(directory, version string, sums map[string]string) ([]platform, error) {
	manifest, err := os.ReadFile(filepath.Join(directory, krewFile))
	if err != nil {
		return nil, err
	}
	archives, err := krew.Read(manifest, version)
	if err != nil {
		return nil, err
	}
	platforms := make([]platform, 0, len(archives))
	for _, a := range archives {
		p := platform{a.System, a.Architecture}
		want := krew.Archive{System: p.system, Architecture: p.architecture, Name: p.archive(version), SHA256: sums[p.archive(version)], Program: p.program()}
		if diff := cmp.Diff(want, a); diff != "" {
			return nil, fmt.Errorf("%s differs from the archive (-archive +manifest):\n%s", krewFile, diff)
		}
		platforms = append(platforms, p)
	}
	for name := range sums {
		listed := slices.ContainsFunc(archives, func(a krew.Archive) bool { return a.Name == name })
		if strings.HasPrefix(name, "sluice_"+version+"_") && !listed {
			return nil, fmt.Errorf("%s does not list %s", krewFile, name)
		}
	}
	for _, p := range nodePlatforms() {
		if !slices.Contains(platforms, p) {
			return nil, fmt.Errorf("the release has no program for %s/%s", p.system, p.architecture)
		}
	}
	return platforms, nil
}
