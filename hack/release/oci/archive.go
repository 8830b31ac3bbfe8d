package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/sluicenet/sluice/hack/release/pack"
)

// Archive is the content of an OCI archive.
type Archive struct{ files map[string][]byte }

// Open reads an OCI archive, and checks the digests of its blobs.
func Open(file string) (*Archive, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	files, err := pack.Read(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for name, blob := range files {
		wanted, ok := strings.CutPrefix(name, "blobs/sha256/")
		if sum := sha256.Sum256(blob); ok && hex.EncodeToString(sum[:]) != wanted {
			return nil, fmt.Errorf("%s: the content of %s has another digest", file, name)
		}
	}
	return &Archive{files}, nil
}

// Digest returns the digest of the image or index in the archive.
func (a *Archive) Digest() (string, error) {
	var index v1.IndexManifest
	if err := json.Unmarshal(a.files["index.json"], &index); err != nil {
		return "", fmt.Errorf("reading index.json: %w", err)
	}
	if len(index.Manifests) != 1 {
		return "", errors.New("index.json must name one image")
	}
	return index.Manifests[0].Digest.String(), nil
}

// Files returns the files in the image for an architecture. If the archive contains one image and
// no index, Files returns the files of this image for every architecture.
func (a *Archive) Files(architecture string) (map[string][]byte, error) {
	digest, err := a.Digest()
	if err != nil {
		return nil, err
	}
	var index v1.IndexManifest
	if err := json.Unmarshal(a.blob(digest), &index); err != nil {
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	for i := range index.Manifests {
		if platform := index.Manifests[i].Platform; platform != nil && platform.Architecture == architecture {
			digest = index.Manifests[i].Digest.String()
		}
	}
	var manifest v1.Manifest
	if err := json.Unmarshal(a.blob(digest), &manifest); err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	if len(manifest.Layers) != 1 {
		return nil, fmt.Errorf("the image for %s has %d layers, want one", architecture, len(manifest.Layers))
	}
	return pack.ReadCompressed(bytes.NewReader(a.blob(manifest.Layers[0].Digest.String())))
}

func (a *Archive) blob(digest string) []byte {
	return a.files["blobs/"+strings.Replace(digest, ":", "/", 1)]
}
