package oci

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sluicenet/sluice/hack/release/pack"
)

// Source describes how to build an image.
type Source struct {
	// Dockerfile is the path of the Dockerfile, and Context the directory from which it copies.
	Dockerfile, Context string
	// Arguments contains the values of the build arguments.
	Arguments map[string]string
	// Architecture is the architecture of the programs in the image.
	Architecture string
	// Time is the time of the image and of its files.
	Time time.Time
}

// Build builds an image with one layer.
func Build(s Source) (v1.Image, error) {
	r, err := read(s.Dockerfile, s.Context, s.Arguments)
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	if err := pack.Write(&content, r.files, s.Time); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("writing the layer of %s: %w", s.Dockerfile, err)
	}
	created := v1.Time{Time: s.Time}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: s.Architecture, OS: "linux", Created: created, Config: r.config, RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("building %s: %w", s.Dockerfile, err)
	}
	return mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "hack/release"}})
}

// Index returns an index with one image for each architecture.
func Index(images ...v1.Image) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, image := range images {
		config, err := image.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("reading the configuration of an image: %w", err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture}},
		})
	}
	return index, nil
}

// WriteArchive writes an OCI archive with one image or one index of images, and returns its digest.
// The parameter `name` is the reference that container runtimes give to the image when they import
// the archive.
func WriteArchive(file, name string, content mutate.Appendable, at time.Time) (string, error) {
	directory, err := os.MkdirTemp("", "layout-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(directory)
	target, err := layout.Write(directory, empty.Index)
	if err != nil {
		return "", fmt.Errorf("writing %s: %w", file, err)
	}
	named := layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name,
	})
	switch c := content.(type) {
	case v1.ImageIndex:
		err = target.AppendIndex(c, named)
	case v1.Image:
		err = target.AppendImage(c, named)
	default:
		err = fmt.Errorf("%T is neither an image nor an index", content)
	}
	if err != nil {
		return "", fmt.Errorf("writing %s: %w", file, err)
	}
	digest, err := content.Digest()
	if err != nil {
		return "", fmt.Errorf("writing %s: %w", file, err)
	}
	files, err := pack.Directory(directory)
	if err != nil {
		return "", err
	}
	out, err := os.OpenFile(filepath.Clean(file), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	defer out.Close()
	if err := pack.Write(out, files, at); err != nil {
		return "", err
	}
	return digest.String(), out.Close()
}
