package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Inodes returns the inode numbers of the network namespaces of all hosts in the lab.
func (l *Lab) Inodes() []uint64 {
	out := []uint64{l.Outside.Inode()}
	for _, n := range l.nodes {
		out = append(out, n.Inode())
		for _, p := range n.pods {
			out = append(out, p.Inode())
		}
	}
	return out
}

// Leftovers returns the reasons why the kernel has not yet removed the given network namespaces.
// Each reason is a /proc path: a thread in a namespace, an open file descriptor of any process, or
// a mount in the mount namespace of this process. If Leftovers returns no paths, the kernel has
// removed the namespaces with their interfaces and rules.
func Leftovers(inodes []uint64) ([]string, error) {
	links := make([]string, len(inodes))
	for i, inode := range inodes {
		links[i] = fmt.Sprintf("net:[%d]", inode)
	}
	var found []string
	for _, pattern := range []string{"/proc/[0-9]*/task/*/ns/net", "/proc/[0-9]*/fd/*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			// Ignore errors, because a process can end, or close a file descriptor, after Glob
			// has found the path.
			if to, err := os.Readlink(path); err == nil && slices.Contains(links, to) {
				found = append(found, path)
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("looking for mounted namespaces: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		if slices.ContainsFunc(strings.Fields(line), func(f string) bool { return slices.Contains(links, f) }) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found, nil
}
