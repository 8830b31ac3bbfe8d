package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	sigsyaml "sigs.k8s.io/yaml"
)

// pack writes the chart in a directory to the archive NAME-VERSION.tgz in the directory `target`. Two
// archives of the same files are identical, because they contain no times and no users.
func pack(directory, target, image string) error {
	content, err := os.ReadFile(filepath.Join(directory, "Chart.yaml"))
	if err != nil {
		return err
	}
	var metadata struct{ Name, Version string }
	if err := sigsyaml.Unmarshal(content, &metadata); err != nil {
		return fmt.Errorf("reading Chart.yaml: %w", err)
	}
	archive, err := archiveOf(os.DirFS(directory), metadata.Name, image)
	if err != nil {
		return fmt.Errorf("packaging the chart: %w", err)
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(target, metadata.Name+"-"+metadata.Version+".tgz"), archive, 0o644)
}

// archiveOf returns a compressed archive of the files, sorted by name.
func archiveOf(files fs.FS, name, image string) ([]byte, error) {
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	archive := tar.NewWriter(compressed)
	err := fs.WalkDir(files, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, file)
		if err != nil {
			return err
		}
		if file == "values.yaml" && image != "" {
			if content, err = withImage(content, image); err != nil {
				return err
			}
		}
		if err := archive.WriteHeader(&tar.Header{Name: path.Join(name, file), Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err = archive.Write(content)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// withImage sets the image in values.yaml.
func withImage(content []byte, image string) ([]byte, error) {
	repository, digest, _ := strings.Cut(image, "@")
	tag := ""
	// A colon before the last slash separates a port, not a tag.
	if i := strings.LastIndex(repository, ":"); i > strings.LastIndex(repository, "/") {
		repository, tag = repository[:i], repository[i+1:]
	}
	for key, value := range map[string]string{"repository": repository, "tag": tag, "digest": digest} {
		line := regexp.MustCompile(`(?m)^  ` + key + `: .*$`)
		if len(line.FindAll(content, -1)) != 1 {
			return nil, fmt.Errorf("values.yaml needs one line with image.%s", key)
		}
		content = line.ReplaceAll(content, []byte("  "+key+`: "`+value+`"`))
	}
	return content, nil
}
