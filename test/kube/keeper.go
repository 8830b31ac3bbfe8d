package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/sluicenet/sluice/test/eventually"
)

// keeper stops a server and removes its files when this process ends, even if this process is
// killed. It starts a shell that reads from a pipe. Only this process has the other end of the
// pipe open. When this process ends, the kernel closes that end. The shell then kills the server's
// programs and removes the directory of the server:
//
//	directory/bin/etcd             a script that writes its process ID and executes etcd
//	directory/etcd/                the data of etcd
//	directory/bin/kube-apiserver   a script that writes its process ID and executes kube-apiserver
//	directory/kube-apiserver/      certificates
type keeper struct {
	directory string
	command   *exec.Cmd
	pipe      io.Closer
}

// programs contains the names of the programs that a server consists of.
var programs = []string{"etcd", "kube-apiserver"}

// atTheEnd is the script of the shell. Its argument is the directory of the server. If a program
// of the server has already ended, its process ID may belong to another process. Therefore, the
// script kills a process only if the process's command line contains the directory, as the command
// lines of etcd and kube-apiserver do.
const atTheEnd = `
trap '' INT TERM HUP
read -r _
for file in "$0"/*.pid; do
	pid=$(cat "$file") || continue
	if grep -qsF "$0/" "/proc/$pid/cmdline"; then kill -9 "$pid"; fi
done
rm -rf "$0"
`

func newKeeper(assets string) (*keeper, error) {
	directory, err := os.MkdirTemp("", "sluice-kube-")
	if err != nil {
		return nil, err
	}
	k := &keeper{directory: directory}
	err = k.fill(assets)
	if err == nil {
		err = k.watch()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(directory))
	}
	return k, nil
}

func (k *keeper) fill(assets string) error {
	for _, name := range append([]string{"bin"}, programs...) {
		if err := os.Mkdir(k.folder(name), 0o700); err != nil {
			return err
		}
	}
	for _, name := range programs {
		script := fmt.Sprintf("#!/bin/sh\necho $$ >'%s'\nexec '%s' \"$@\"\n", k.folder(name+".pid"), filepath.Join(assets, name))
		if err := os.WriteFile(k.binary(name), []byte(script), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) watch() error {
	k.command = exec.Command("/bin/sh", "-c", atTheEnd, k.directory)
	// Run the shell in its own process group, so that the shell does not receive the signal
	// when the user presses Ctrl-C.
	k.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := k.command.StdinPipe()
	if err != nil {
		return err
	}
	k.pipe = pipe
	return k.command.Start()
}

func (k *keeper) folder(name string) string { return filepath.Join(k.directory, name) }

func (k *keeper) binary(program string) string { return filepath.Join(k.folder("bin"), program) }

// process returns the process ID of a program.
func (k *keeper) process(program string) (int, error) {
	text, err := os.ReadFile(k.folder(program + ".pid"))
	if err != nil {
		return 0, err
	}
	id, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("reading the process ID of %s: %w", program, err)
	}
	return id, nil
}

// kill sends SIGKILL to a program of the server and waits until the program has ended.
func (k *keeper) kill(program string) error {
	id, err := k.process(program)
	if err != nil {
		return err
	}
	if err := syscall.Kill(id, syscall.SIGKILL); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return eventually.Poll(ctx, func(context.Context) error {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", id)); !os.IsNotExist(err) {
			return fmt.Errorf("%s still runs after it was killed", program)
		}
		return nil
	})
}

// close closes the pipe, so that the shell runs its script. It waits until the shell has ended.
func (k *keeper) close() error {
	if err := errors.Join(k.pipe.Close(), k.command.Wait()); err != nil {
		return fmt.Errorf("removing %s: %w", k.directory, err)
	}
	return nil
}
