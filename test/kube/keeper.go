package kube

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// keeper sees to it that nothing of a server outlives this process, also when it
// is killed. A shell waits at the end of a pipe that only this process holds: the
// kernel closes it, whatever way the process ends. Then the shell kills the
// programs that were started, and removes their files.
//
//	directory/bin/etcd             writes its process id and becomes the real one
//	directory/etcd/                data
//	directory/bin/kube-apiserver   the same
//	directory/kube-apiserver/      certificates
type keeper struct {
	directory string
	command   *exec.Cmd
	pipe      io.Closer
}

// programs are what a server consists of.
var programs = []string{"etcd", "kube-apiserver"}

// atTheEnd is what the shell does. A process id may be another's by then, so it
// looks for the folder in the command line: each program has it there.
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
	// Ctrl-C is not for it.
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

// process gives the id of a program.
func (k *keeper) process(program string) (int, error) {
	text, err := os.ReadFile(k.folder(program + ".pid"))
	if err != nil {
		return 0, err
	}
	id, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("reading the process id of %s: %w", program, err)
	}
	return id, nil
}

// kill ends a program without a chance to do anything, and waits until it is
// gone.
func (k *keeper) kill(program string) error {
	id, err := k.process(program)
	if err != nil {
		return err
	}
	if err := syscall.Kill(id, syscall.SIGKILL); err != nil {
		return err
	}
	again := time.NewTicker(killPoll)
	defer again.Stop()
	for limit := time.After(startTimeout); ; {
		select {
		case <-again.C:
		case <-limit:
			return fmt.Errorf("%s is still there %s after it was killed", program, startTimeout)
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", id)); os.IsNotExist(err) {
			return nil
		}
	}
}

// killPoll is how often it is looked whether a program is gone.
const killPoll = 10 * time.Millisecond

// close lets the shell do its work and waits for it.
func (k *keeper) close() error {
	if err := errors.Join(k.pipe.Close(), k.command.Wait()); err != nil {
		return fmt.Errorf("removing %s: %w", k.directory, err)
	}
	return nil
}
