// Package pack writes archives in the formats tar and zip. Two archives of the same files are
// identical, because the entries are sorted, and have neither users nor the times of files.
package pack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// File is a regular file of an archive.
type File struct {
	Content []byte
	// Executable reports whether the file is a program.
	Executable bool
}

// Write writes an archive. The keys of the map are the paths of the files in the archive. The archive
// also contains the directories of the files. All entries have the same time.
func Write(out io.Writer, files map[string]File, at time.Time) error {
	archive := tar.NewWriter(out)
	written := map[string]bool{".": true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeDirectories(archive, path.Dir(name), written, at); err != nil {
			return err
		}
		file := files[name]
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(file.Content)), ModTime: at}
		if file.Executable {
			header.Mode = 0o755
		}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("writing %s to the archive: %w", name, err)
		}
		if _, err := archive.Write(file.Content); err != nil {
			return fmt.Errorf("writing %s to the archive: %w", name, err)
		}
	}
	return archive.Close()
}

func writeDirectories(archive *tar.Writer, directory string, written map[string]bool, at time.Time) error {
	if written[directory] {
		return nil
	}
	if err := writeDirectories(archive, path.Dir(directory), written, at); err != nil {
		return err
	}
	written[directory] = true
	return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: directory + "/", Mode: 0o755, ModTime: at})
}

// WriteCompressed writes an archive that is compressed with gzip.
func WriteCompressed(out io.Writer, files map[string]File, at time.Time) error {
	compressed := gzip.NewWriter(out)
	if err := Write(compressed, files, at); err != nil {
		return err
	}
	return compressed.Close()
}

// WriteZip writes a compressed archive in the format zip.
func WriteZip(out io.Writer, files map[string]File, at time.Time) error {
	archive := zip.NewWriter(out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := files[name]
		header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at}
		header.SetMode(0o644)
		if file.Executable {
			header.SetMode(0o755)
		}
		entry, err := archive.CreateHeader(header)
		if err == nil {
			_, err = entry.Write(file.Content)
		}
		if err != nil {
			return fmt.Errorf("writing %s to the archive: %w", name, err)
		}
	}
	return archive.Close()
}

// Directory returns the regular files below a directory. The keys are paths relative to the
// directory.
func Directory(directory string) (map[string]File, error) {
	files := map[string]File{}
	err := filepath.WalkDir(directory, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files[strings.TrimPrefix(filepath.ToSlash(name), filepath.ToSlash(directory)+"/")] = File{Content: content}
		return nil
	})
	return files, err
}

// Read returns the regular files in an archive.
func Read(in io.Reader) (map[string][]byte, error) {
	files := map[string][]byte{}
	for archive := tar.NewReader(in); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading an archive: %w", err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			return nil, fmt.Errorf("reading %s in an archive: %w", header.Name, err)
		}
	}
}

// ReadCompressed returns the regular files in an archive that is compressed with gzip.
func ReadCompressed(in io.Reader) (map[string][]byte, error) {
	uncompressed, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("reading an archive: %w", err)
	}
	return Read(uncompressed)
}

// ReadZip returns the files in an archive in the format zip.
func ReadZip(content []byte) (map[string][]byte, error) {
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, fmt.Errorf("reading an archive: %w", err)
	}
	files := map[string][]byte{}
	for _, entry := range archive.File {
		file, err := entry.Open()
		if err == nil {
			files[entry.Name], err = io.ReadAll(file)
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s in an archive: %w", entry.Name, err)
		}
	}
	return files, nil
}
