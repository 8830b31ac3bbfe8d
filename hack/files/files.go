// Package files writes the files that the programs in hack generate.
package files

import (
	"os"
	"path/filepath"
)

// Write writes files to a folder, and creates the folders that do not exist. The keys are paths
// relative to the folder.
func Write(folder string, files map[string][]byte) error {
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
