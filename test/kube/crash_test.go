package kube_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/process"
)

// hold starts a server, prints where its files are, and waits for its end.
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

// TestNothingRemainsOfAKilledProcess: etcd, kube-apiserver and their files go
// with the process that started them.
func TestNothingRemainsOfAKilledProcess(t *testing.T) {
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
		t.Fatalf("of a running server there is %v", found)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	deadline := time.Now().Add(time.Minute)
	for again := time.NewTicker(10 * time.Millisecond); ; <-again.C {
		_, err := os.Stat(folder)
		found := users(t, folder)
		if os.IsNotExist(err) && len(found) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after a minute %s is there (%v), used by %v", folder, err, found)
		}
	}
}

// users lists the processes that name a folder in their command line.
func users(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, path := range paths {
		// Processes come and go while we look.
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), folder) {
			out = append(out, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	return out
}
