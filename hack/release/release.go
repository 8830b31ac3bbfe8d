package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluicenet/sluice/hack/release/notes"
	"github.com/sluicenet/sluice/hack/release/oci"
	"github.com/sluicenet/sluice/hack/release/sbom"
	"github.com/sluicenet/sluice/hack/release/signing"
)

// Names of the artefacts whose names do not contain the version.
const (
	sumsFile       = "SHA256SUMS"
	signatureFile  = "SHA256SUMS.sig"
	provenanceFile = "provenance.intoto.json"
	notesFile      = "RELEASE_NOTES.md"
	installFile    = "install.yaml"
	catalogFile    = "catalog.yaml"
	krewFile       = "sluice.yaml"
)

func imageFile(name, version string) string { return name + "_" + version + ".oci.tar" }

func sbomFile(version string) string { return "sluice_" + version + ".cdx.json" }

// release writes all artefacts to the directory `out`, which must not exist. If it fails, it removes
// the directory.
func (b *build) release(ctx context.Context, keyFile string) error {
	clean, err := b.prepare(ctx)
	if err != nil {
		return err
	}
	defer clean()
	text, err := b.check()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.out), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(b.out, 0o755); err != nil {
		return fmt.Errorf("the directory of the artefacts must not exist yet: %w", err)
	}
	if err := b.artefacts(ctx, keyFile, text); err != nil {
		return errors.Join(err, os.RemoveAll(b.out))
	}
	return nil
}

// artefacts writes all artefacts. The parameter `text` is the text of the release notes.
func (b *build) artefacts(ctx context.Context, keyFile, text string) error {
	platforms := append(nodePlatforms(), b.clients...)
	programs, err := b.programs(ctx, platforms)
	if err != nil {
		return err
	}
	if err := b.archives(platforms, programs); err != nil {
		return err
	}
	digest, err := b.image(filepath.Join(b.out, imageFile("sluice", b.version)))
	if err != nil {
		return err
	}
	image := b.repository + "/sluice@" + digest
	if err := b.manifests(ctx, image); err != nil {
		return err
	}
	if err := b.olm(ctx, image); err != nil {
		return err
	}
	if err := b.documentation(ctx); err != nil {
		return err
	}
	if err := b.describe(programs, text, image); err != nil {
		return err
	}
	sums, err := checksums(b.out)
	if err != nil {
		return err
	}
	if err := b.write(sumsFile, []byte(format(sums))); err != nil {
		return err
	}
	if err := b.sign(ctx, keyFile, sums); err != nil {
		return err
	}
	return verifyContents(b.out, b.version, sums)
}

// check returns the release notes. It returns an error if the work tree contains changes that are
// not committed, or if the version differs from the file VERSION.
func (b *build) check() (string, error) {
	version, err := b.fileVersion()
	switch {
	case err != nil:
		return "", err
	case b.version != version:
		return "", fmt.Errorf("the version %q differs from the file VERSION, which contains %q: change the file and commit it", b.version, version)
	case strings.HasSuffix(b.commit, "-dirty"):
		return "", errors.New("files differ from the commit: commit or discard the changes")
	}
	changelog, err := os.ReadFile(filepath.Join(b.root, "CHANGELOG.md"))
	if err != nil {
		return "", err
	}
	return notes.Section(string(changelog), b.version)
}

// manifests writes install.yaml and the Helm chart, with the digest of the image.
func (b *build) manifests(ctx context.Context, image string) error {
	manifests, err := b.run(ctx, nil, "hack/manifests.sh", image)
	if err != nil {
		return err
	}
	if err := b.write(installFile, manifests); err != nil {
		return err
	}
	_, err = b.run(ctx, nil, "go", "run", "./hack/chart", "-package", b.out, "-image", image)
	return err
}

// olm writes the bundle image, the catalog, and the image of the catalog.
func (b *build) olm(ctx context.Context, image string) error {
	bundle := filepath.Join(b.scratch, "bundle")
	if _, err := b.run(ctx, []string{"IMAGE=" + image}, "go", "run", "./hack/bundle", "-out", bundle); err != nil {
		return err
	}
	digest, err := b.scratchImage("sluice-bundle", filepath.Join(bundle, "Dockerfile"), bundle)
	if err != nil {
		return err
	}
	catalog, err := b.run(ctx, []string{"GOFLAGS=-tags=containers_image_openpgp"},
		"go", "-C", "hack/olm", "run", ".", "catalog", "-bundle", bundle, "-image", b.repository+"/sluice-bundle@"+digest)
	if err != nil {
		return err
	}
	if err := b.write(catalogFile, catalog); err != nil {
		return err
	}
	_, err = b.scratchImage("sluice-catalog", filepath.Join(b.root, "config/catalog/Dockerfile"), b.out)
	return err
}

// scratchImage writes the OCI archive of an image without programs, and returns its digest.
func (b *build) scratchImage(name, dockerfile, directory string) (string, error) {
	image, err := oci.Build(oci.Source{Dockerfile: dockerfile, Context: directory, Architecture: architectures[0], Time: b.time})
	if err != nil {
		return "", err
	}
	return oci.WriteArchive(filepath.Join(b.out, imageFile(name, b.version)), b.repository+"/"+name+":"+b.version, image, b.time)
}

// describe writes the SBOM and the release notes.
func (b *build) describe(programs []string, text, image string) error {
	// Of the packages in package-lock.json, only the code of preact is in the compiled page.
	packages, err := sbom.Packages(filepath.Join(b.root, "ui/web/package-lock.json"), "preact")
	if err != nil {
		return err
	}
	content, err := sbom.Write(b.version, programs, packages, b.time)
	if err != nil {
		return err
	}
	if err := b.write(sbomFile(b.version), content); err != nil {
		return err
	}
	head := fmt.Sprintf("# Sluice %s\n\nImage: %#q\n\nCommit: %#q\n\n", b.version, image, b.commit)
	return b.write(notesFile, []byte(head+text))
}

// sign writes the signature of the checksums, and the provenance. Without a key, it prints that the
// artefacts are not signed.
func (b *build) sign(ctx context.Context, keyFile string, sums map[string]string) error {
	if keyFile == "" {
		_, err := fmt.Fprintf(b.log, "%s: NOT SIGNED, because neither -key nor $%s names a key\n", b.out, keyVariable)
		return err
	}
	key, err := signing.Load(keyFile)
	if err != nil {
		return err
	}
	signature, err := key.Sign(ctx, []byte(format(sums)))
	if err != nil {
		return fmt.Errorf("signing the checksums: %w", err)
	}
	if err := b.write(signatureFile, signature); err != nil {
		return err
	}
	provenance, err := signing.Attest(ctx, key, signing.Origin{
		Version: b.version, Repository: b.repository, Commit: b.commit, Go: toolchain(),
	}, sums)
	if err != nil {
		return err
	}
	if err := b.write(provenanceFile, provenance); err != nil {
		return err
	}
	_, err = fmt.Fprintf(b.log, "%s: signed\n", b.out)
	return err
}

// checksums returns the SHA-256 digests of the artefacts in a directory, except those of the files
// with checksums and signatures.
func checksums(directory string) (map[string]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for _, entry := range entries {
		switch entry.Name() {
		case sumsFile, signatureFile, provenanceFile:
			continue
		}
		content, err := os.ReadFile(filepath.Join(directory, entry.Name()))
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		sums[entry.Name()] = hex.EncodeToString(sum[:])
	}
	return sums, nil
}
