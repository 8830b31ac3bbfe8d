package statedir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	masksName = "mark-masks.json"
	// partialMasks is the temporary name of the file while it is written. The file is in
	// the state directory, in which only the dataplane can create files.
	partialMasks = ".partial.mark-masks.json"
	masksSize    = 64 << 10
	// bootIDPath is a file of the kernel. It contains a random ID that changes at each boot.
	bootIDPath = "/proc/sys/kernel/random/boot_id"
)

// Masks returns the path of the file with the recorded mark masks. The marks of open connections
// may contain bits of these masks.
func Masks(stateDir string) string { return filepath.Join(stateDir, masksName) }

// masksRecord is the content of the file. Connection marks do not survive a reboot, so the file
// also identifies the boot.
type masksRecord struct {
	BootID string   `json:"bootID"`
	Masks  []uint32 `json:"masks"`
}

// ReadMasks returns the mark masks that have been recorded since the node booted. It returns nil
// if no mask has been recorded.
func ReadMasks(stateDir string) ([]uint32, error) {
	document := &document[masksRecord]{"the mark masks of this node in " + Masks(stateDir), Masks(stateDir), masksSize, parseMasks}
	record, err := document.read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	boot, err := bootID()
	if err != nil || record.BootID != boot {
		return nil, err
	}
	return record.Masks, nil
}

func parseMasks(content []byte) (r masksRecord, err error) {
	if err := json.Unmarshal(content, &r); err != nil {
		return masksRecord{}, err
	}
	return r, nil
}

// WriteMasks records mark masks by an atomic rename. When WriteMasks returns, the record is on the
// disk. Only the process that holds the table lock may call WriteMasks.
func WriteMasks(stateDir string, masks []uint32) error {
	if err := writeMasks(stateDir, masks); err != nil {
		return fmt.Errorf("recording the mark mask: %w", err)
	}
	return nil
}

func writeMasks(stateDir string, masks []uint32) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	content, err := json.Marshal(masksRecord{BootID: boot, Masks: masks})
	if err != nil {
		return err
	}
	if err := makeDir(stateDir); err != nil {
		return err
	}
	partial := filepath.Join(stateDir, partialMasks)
	if err := writeDurably(partial, append(content, '\n')); err != nil {
		return err
	}
	if err := os.Rename(partial, Masks(stateDir)); err != nil {
		return err
	}
	return syncDir(stateDir)
}

// writeDurably writes a file and waits until the content is on the disk.
func writeDurably(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// syncDir waits until the names of the files in a directory are on the disk.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// RemoveMasks removes the record of mark masks.
func RemoveMasks(stateDir string) error {
	err := errors.Join(removeIfExists(Masks(stateDir)), removeIfExists(filepath.Join(stateDir, partialMasks)))
	if err != nil {
		return fmt.Errorf("removing the record of mark masks: %w", err)
	}
	return nil
}

func bootID() (string, error) {
	id, err := os.ReadFile(bootIDPath)
	if err != nil {
		return "", fmt.Errorf("identifying the boot: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}
