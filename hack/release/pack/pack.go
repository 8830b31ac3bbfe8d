// Package pack writes tar archives. Two archives of the same files are identical, because the
// entries are sorted, and have neither users nor the times of files.
package pack

import (
	"archive/tar"
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

// File is a file of an archive.
type File struct {
	// Content is the content of a regular file.
	Content []byte
	// Executable reports whether the file is a program.
	Executable bool
	// Target is the target of a symbolic link. It is empty for a regular file.
	Target string
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
		if file.Target != "" {
			header = &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: file.Target, Mode: 0o777, ModTime: at}
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
