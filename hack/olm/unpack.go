package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"log" //nolint:depguard // the registry of go-containerregistry accepts only this logger.
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ociregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/operator-framework/operator-registry/pkg/image"
	"github.com/operator-framework/operator-registry/pkg/image/containerdregistry"
)

// unpack writes the files of the image in an OCI archive to a directory. It serves the image from a
// registry on a local port. Then it pulls and unpacks the image with the library that OLM uses.
func unpack(ctx context.Context, archive, directory string) error {
	reference, stop, err := serve(ctx, archive)
	if err != nil {
		return fmt.Errorf("serving %s: %w", archive, err)
	}
	defer stop()
	client, err := containerdregistry.NewRegistry(containerdregistry.WithPlainHTTP(true), containerdregistry.WithCacheDir(directory+".cache"))
	if err != nil {
		return fmt.Errorf("preparing the client of the registry: %w", err)
	}
	pulled := image.SimpleReference(reference)
	if err := client.Pull(ctx, pulled); err != nil {
		return errors.Join(fmt.Errorf("pulling the bundle image: %w", err), client.Destroy())
	}
	return errors.Join(client.Unpack(ctx, pulled, directory), client.Destroy())
}

// serve serves the image in an OCI archive from a registry on a local port until the function `stop`
// is called. It returns the reference of the image, with its digest.
func serve(ctx context.Context, archive string) (reference string, stop func(), err error) {
	directory, err := os.MkdirTemp("", "archive-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(directory)
	if err := extract(archive, directory); err != nil {
		return "", nil, err
	}
	index, err := layout.ImageIndexFromPath(directory)
	if err != nil {
		return "", nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return "", nil, err
	}
	if len(manifest.Manifests) != 1 {
		return "", nil, fmt.Errorf("%d images, want one", len(manifest.Manifests))
	}
	digest := manifest.Manifests[0].Digest
	content, err := index.Image(digest)
	if err != nil {
		return "", nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	handler := ociregistry.New(ociregistry.Logger(log.New(io.Discard, "", 0)))
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	stop = func() { _ = server.Close() }
	reference = listener.Addr().String() + "/bundle@" + digest.String()
	target, err := name.ParseReference(reference, name.Insecure)
	if err == nil {
		err = remote.Write(target, content, remote.WithContext(ctx))
	}
	if err != nil {
		stop()
		return "", nil, err
	}
	return reference, stop, nil
}

// extract writes the regular files in a tar archive to a directory.
func extract(archive, directory string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg || !filepath.IsLocal(header.Name) {
			continue
		}
		path := filepath.Join(directory, header.Name)
		content, err := io.ReadAll(reader)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o700)
		}
		if err == nil {
			err = os.WriteFile(path, content, 0o600)
		}
		if err != nil {
			return err
		}
	}
}
