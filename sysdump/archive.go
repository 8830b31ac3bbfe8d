// Package sysdump writes an archive with the information that a bug report about an
// installation of Sluice needs. It reads with the rights of the caller, and changes
// nothing.
//
// The archive contains no Secrets, no environment variables, no annotations except those of
// Sluice, and no data of ConfigMaps except those of Sluice. Each object is reduced to the fields
// in reduce.go, so that a new field of Kubernetes is not copied by accident.
package sysdump

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// folder is the folder in the archive that contains all files.
const folder = "sluice-sysdump/"

// archive collects files. In the archive, all files have the same modification time and are
// sorted by name.
type archive struct {
	files map[string][]byte
	// The list `unread` contains the objects and logs that could not be read, with the reasons.
	// The list `omitted` contains the files that were left out because of a limit.
	unread, omitted []string
	names           *names
}

// addJSON adds a value as a JSON file.
func (a *archive) addJSON(name string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		a.missing(name, err)
		return
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		a.missing(name, err)
		return
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(a.names.inTree(tree)); err != nil {
		a.missing(name, err)
		return
	}
	a.files[name] = out.Bytes()
}

// addText adds a text file.
func (a *archive) addText(name string, text []byte) {
	a.files[name] = []byte(a.names.inText(string(text)))
}

// The method `missing` records that something could not be read.
func (a *archive) missing(what string, err error) {
	a.unread = append(a.unread, fmt.Sprintf("%s: %v", what, err))
}

// write writes the archive as a compressed tar file.
func (a *archive) write(w io.Writer, now time.Time) error {
	compressed := gzip.NewWriter(w)
	files := tar.NewWriter(compressed)
	for _, name := range slices.Sorted(maps.Keys(a.files)) {
		content := a.files[name]
		header := &tar.Header{Name: folder + name, Mode: 0o600, Size: int64(len(content)), ModTime: now.Truncate(time.Second), Format: tar.FormatPAX}
		if err := files.WriteHeader(header); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if _, err := files.Write(content); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	if err := errors.Join(files.Close(), compressed.Close()); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	return nil
}
