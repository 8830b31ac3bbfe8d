// Package kube gives the tests of a package a Kubernetes API server of their
// own: a real kube-apiserver and etcd, with the project's kinds installed.
//
//	var server *kube.Server
//
//	func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }
//
//	func TestSomething(t *testing.T) {
//		client := server.Client(t)
//		namespace := server.Namespace(t)
//		...
//	}
//
// No other part of a control plane runs: nothing schedules or runs Pods,
// collects garbage or finishes the deletion of a Namespace. Tests of a package
// share the server, so each makes a namespace of its own, and names cluster-wide
// objects after itself.
package kube

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// startTimeout is generous: a kube-apiserver takes 5 s on an idle machine, and
// tests of other packages may run beside it.
const startTimeout = 2 * time.Minute

// Server is a running kube-apiserver, with its etcd.
type Server struct {
	environment *envtest.Environment
	keeper      *keeper
}

// Main starts a server, sets *server to it, runs the tests and stops the server.
// It gives the code for os.Exit.
func Main(m *testing.M, server **Server) int {
	code, err := run(m, server)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// withoutServer is the environment variable that hack/unit sets: the tests that
// run do not use the server, and Main does not start it.
const withoutServer = "SLUICE_TEST_WITHOUT_API_SERVER"

func run(m *testing.M, server **Server) (code int, err error) {
	if os.Getenv(withoutServer) != "" {
		return m.Run(), nil
	}
	started, err := Start()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, started.Stop()) }()
	*server = started
	return m.Run(), nil
}

// Start starts a server. However this process ends, the server and its files are
// gone soon after; the caller stops it all the same.
func Start() (*Server, error) {
	root, err := ProjectRoot()
	if err != nil {
		return nil, err
	}
	assets, err := assets(root)
	if err != nil {
		return nil, err
	}
	keeper, err := newKeeper(assets)
	if err != nil {
		return nil, fmt.Errorf("preparing the API server: %w", err)
	}
	environment := &envtest.Environment{
		CRDDirectoryPaths:        []string{filepath.Join(root, "config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
	}
	// A path that is set here goes before KUBEBUILDER_ASSETS.
	environment.ControlPlane.Etcd = &envtest.Etcd{Path: keeper.binary("etcd"), DataDir: keeper.folder("etcd")}
	// Without a controller that makes service accounts, every Pod would be
	// refused for want of its namespace's default one.
	server := environment.ControlPlane.GetAPIServer()
	server.Path = keeper.binary("kube-apiserver")
	server.CertDir = keeper.folder("kube-apiserver")
	server.Configure().Set("disable-admission-plugins", "ServiceAccount")
	s := &Server{environment: environment, keeper: keeper}
	if _, err := environment.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the API server: %w", err), s.Stop())
	}
	return s, nil
}

// Stop ends the server and removes its files.
func (s *Server) Stop() error {
	if err := errors.Join(s.environment.Stop(), s.keeper.close()); err != nil {
		return fmt.Errorf("stopping the API server: %w", err)
	}
	return nil
}

// Restart kills the kube-apiserver and starts it anew over the same etcd, at the
// same address. What watched before has to list again: the new one does not
// remember what was changed before it.
func (s *Server) Restart() error {
	if err := s.keeper.kill("kube-apiserver"); err != nil {
		return fmt.Errorf("killing the API server: %w", err)
	}
	server := s.environment.ControlPlane.GetAPIServer()
	if err := server.Stop(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping the API server: %w", err)
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("starting the API server anew: %w", err)
	}
	return nil
}

// Pause stops the kube-apiserver where it is, until Resume. Its connections stay
// open, and nothing is answered.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Resume lets a kube-apiserver that was paused go on.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) error {
	id, err := s.keeper.process("kube-apiserver")
	if err == nil {
		err = syscall.Kill(id, signal)
	}
	if err != nil {
		return fmt.Errorf("sending %s to the API server: %w", signal, err)
	}
	return nil
}

// Folder gives a new folder for the files of whoever uses the server. It goes
// with the server, however this process ends.
func (s *Server) Folder(name string) (string, error) {
	path := filepath.Join(s.keeper.directory, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", fmt.Errorf("making a folder beside the API server: %w", err)
	}
	return path, nil
}

// Config gives a configuration for clients that may do everything. The caller
// may change it.
func (s *Server) Config() *rest.Config {
	return rest.CopyConfig(s.environment.Config)
}

// ProjectRoot gives the folder of the project's go.mod.
func ProjectRoot() (string, error) {
	file, err := output("", "go", "env", "GOMOD")
	if err != nil {
		return "", fmt.Errorf("asking go for the project's folder: %w", err)
	}
	return filepath.Dir(file), nil
}

// assets gives the directory with kube-apiserver and etcd. It builds them if
// nobody has done that on this machine.
func assets(root string) (string, error) {
	directory, err := output(root, "go", "run", "./hack/kubeassets")
	if err != nil {
		return "", fmt.Errorf("building kube-apiserver and etcd: %w", err)
	}
	return directory, nil
}

func output(directory, program string, arguments ...string) (string, error) {
	command := exec.Command(program, arguments...)
	command.Dir = directory
	var standardError bytes.Buffer
	command.Stderr = &standardError
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, bytes.TrimSpace(standardError.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}
