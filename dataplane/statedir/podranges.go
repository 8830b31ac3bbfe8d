package statedir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
)

const (
	// podRangesSize is the largest size in bytes of a file that ReadPodRanges accepts.
	podRangesSize = 64 << 10
	// maxPodRanges is the largest number of entries in a list that ReadPodRanges accepts.
	maxPodRanges = 256
)

// PodRanges returns the path of the file with the pod ranges.
func PodRanges(stateDir string) string { return filepath.Join(treesDir(stateDir), podRangesName) }

// WritePodRanges publishes the pod ranges by an atomic rename. It creates the directory if
// necessary. Several processes may call WritePodRanges at the same time.
func WritePodRanges(stateDir string, r report.PodRanges) error {
	content, err := json.Marshal(r)
	if err == nil {
		p := &Publisher{dir: treesDir(stateDir)}
		err = p.locked(func() error { return p.writePodRanges(append(content, '\n')) })
	}
	if err != nil {
		return fmt.Errorf("publishing pod ranges: %w", err)
	}
	return nil
}

func (p *Publisher) writePodRanges(content []byte) error {
	partial := filepath.Join(p.dir, partialPodRanges)
	if err := removeIfExists(partial); err != nil {
		return err
	}
	file, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Chmod(fileMode), file.Close()); err != nil {
		return err
	}
	return os.Rename(partial, filepath.Join(p.dir, podRangesName))
}

// ReadPodRanges returns the published pod ranges. If the agent has not published any ranges yet,
// it returns an error that wraps fs.ErrNotExist. If the file is not valid, it returns another
// error.
func ReadPodRanges(stateDir string) (report.PodRanges, error) {
	return podRangesDocument(stateDir).read()
}

func podRangesDocument(stateDir string) *document[report.PodRanges] {
	return &document[report.PodRanges]{"pod ranges", PodRanges(stateDir), podRangesSize, parsePodRanges}
}

func parsePodRanges(content []byte) (report.PodRanges, error) {
	var r report.PodRanges
	if err := json.Unmarshal(content, &r); err != nil {
		return report.PodRanges{}, err
	}
	for _, list := range [][]netip.Prefix{r.Cluster, r.Node} {
		if len(list) > maxPodRanges {
			return report.PodRanges{}, fmt.Errorf("%d ranges, want at most %d", len(list), maxPodRanges)
		}
		for _, p := range list {
			// Reject a range of all addresses, because it would also contain every address
			// outside the cluster.
			if !p.IsValid() || p.Bits() == 0 || p != p.Masked() {
				return report.PodRanges{}, fmt.Errorf("%s is not a valid range", p)
			}
		}
	}
	return r, nil
}

// WatchPodRanges calls `handle` with the published pod ranges, and calls it again each time the
// ranges change. It makes one call at a time. If several versions are published during a call,
// WatchPodRanges delivers only the newest version. If the file cannot be read or is not valid, it
// calls `handle` with the error. If no ranges have been published yet, WatchPodRanges waits for
// the file.
//
// WatchPodRanges returns nil when the context ends. It returns an error if the directory cannot be
// watched.
func WatchPodRanges(ctx context.Context, stateDir string, handle func(report.PodRanges, error)) error {
	again := time.NewTicker(checkInterval)
	defer again.Stop()
	return watchDir(ctx, treesDir(filepath.Clean(stateDir)), again.C, podRangesDocument(stateDir).changes(handle))
}
