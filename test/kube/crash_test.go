package kube_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/process"
)

// hold starts a server and prints the directory of the server's files. Then it waits until this
// process is killed.
func hold() {
	held, err := kube.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	folder, err := held.Folder("held")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if _, err := fmt.Fprintln(os.Stdout, filepath.Dir(folder)); err != nil {
		os.Exit(1)
	}
	select {}
}

// TestServerEndsWithKilledProcess kills a process that has started a server. It checks that
// etcd and kube-apiserver end, and that the files of the server are removed.
func TestServerEndsWithKilledProcess(t *testing.T) {
	cmd := process.Self("holder")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("waiting for the server: %v", err)
	}
	folder := strings.TrimSpace(line)
	if found := users(t, folder); len(found) < 2 {
		t.Fatalf("processes of a running server: %v, want etcd and kube-apiserver", found)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually.NoError(t, func() error {
		_, err := os.Stat(folder)
		if found := users(t, folder); !os.IsNotExist(err) || len(found) > 0 {
			return fmt.Errorf("directory %s still exists (%w) or is used by %v", folder, err, found)
		}
		return nil
	})
}

// users returns the command lines of all processes whose command line contains the path of the
// directory.
func users(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, path := range paths {
		// Ignore errors, because a process can end before its file is read.
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), folder) {
			out = append(out, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return out
}
