// Package kube starts a Kubernetes API server for the tests of a package: a real
// kube-apiserver and etcd, with the CRDs of this project installed.
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
// No other part of a control plane runs. In particular, no component schedules or runs Pods,
// collects garbage, or finishes the deletion of a Namespace. The tests of a package share the
// server. Therefore, each test creates a namespace for its objects, and uses unique names for
// objects without a namespace.
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

// startTimeout is the time within which a server must start. A kube-apiserver starts in 5 s on
// an idle machine. It takes longer while other tests run.
const startTimeout = 2 * time.Minute

// Server is a running kube-apiserver with its etcd.
type Server struct {
	environment *envtest.Environment
	keeper      *keeper
}

// Main starts a server and stores it in *server. Then it runs the tests and stops the server.
// It returns the exit code for os.Exit.
func Main(m *testing.M, server **Server, options ...Option) int {
	code, err := run(m, server, options)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// withoutServer is an environment variable that hack/unit sets when it runs only tests
// that do not use the server. If the variable is set, Main does not start the server.
const withoutServer = "SLUICE_TEST_WITHOUT_API_SERVER"

func run(m *testing.M, server **Server, options []Option) (code int, err error) {
	if os.Getenv(withoutServer) != "" {
		return m.Run(), nil
	}
	started, err := Start(options...)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, started.Stop()) }()
	*server = started
	return m.Run(), nil
}

// Option configures a server.
type Option func(*settings)

type settings struct{ withoutAggregation, withoutProxyCertificate, withoutDefinitions bool }

// WithoutDefinitions starts a server without the CRDs of this project.
func WithoutDefinitions(s *settings) { s.withoutDefinitions = true }

// WithoutAggregation starts a server that is not configured to forward requests for aggregated
// APIs: it has none of the flags that begin with --requestheader or --proxy-client.
func WithoutAggregation(s *settings) { s.withoutAggregation = true }

// WithoutProxyCertificate starts a server that forwards requests for aggregated APIs without a client
// certificate: it lacks only the flags that begin with --proxy-client.
func WithoutProxyCertificate(s *settings) { s.withoutProxyCertificate = true }

// Start starts a server. The caller must stop the server. If this process ends without stopping
// the server, the server ends as well, and its files are removed soon afterwards.
func Start(options ...Option) (*Server, error) {
	var chosen settings
	for _, option := range options {
		option(&chosen)
	}
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
	if chosen.withoutDefinitions {
		environment.CRDDirectoryPaths = nil
	}
	// Run the scripts of the keeper instead of the programs themselves. These paths take
	// precedence over KUBEBUILDER_ASSETS.
	environment.ControlPlane.Etcd = &envtest.Etcd{Path: keeper.binary("etcd"), DataDir: keeper.folder("etcd")}
	// Disable the admission plugin ServiceAccount. No controller creates service accounts here.
	// So the plugin would reject every Pod, because the namespace of the Pod has no default
	// service account.
	server := environment.ControlPlane.GetAPIServer()
	server.Path = keeper.binary("kube-apiserver")
	server.CertDir = keeper.folder("kube-apiserver")
	server.Configure().Set("disable-admission-plugins", "ServiceAccount")
	s := &Server{environment: environment, keeper: keeper}
	if !chosen.withoutAggregation {
		if err := enableAggregation(server, server.CertDir, !chosen.withoutProxyCertificate); err != nil {
			return nil, errors.Join(fmt.Errorf("preparing the API server: %w", err), s.Stop())
		}
	}
	if _, err := environment.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the API server: %w", err), s.Stop())
	}
	return s, nil
}

// Stop ends the server and removes the files of the server.
func (s *Server) Stop() error {
	if err := errors.Join(s.environment.Stop(), s.keeper.close()); err != nil {
		return fmt.Errorf("stopping the API server: %w", err)
	}
	return nil
}

// Restart kills the kube-apiserver and starts a new one with the same address and the same
// etcd. The new server has no history of changes, so clients that watch objects must relist.
func (s *Server) Restart() error {
	if err := s.Kill(); err != nil {
		return err
	}
	return s.Revive()
}

// Kill kills the kube-apiserver. The process etcd continues to run.
func (s *Server) Kill() error {
	if err := s.keeper.kill("kube-apiserver"); err != nil {
		return fmt.Errorf("killing the API server: %w", err)
	}
	err := s.environment.ControlPlane.GetAPIServer().Stop()
	if err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping the API server: %w", err)
	}
	return nil
}

// Revive starts a new kube-apiserver after Kill, with the same address and the same etcd.
func (s *Server) Revive() error {
	if err := s.environment.ControlPlane.GetAPIServer().Start(); err != nil {
		return fmt.Errorf("restarting the API server: %w", err)
	}
	return nil
}

// Pause suspends the kube-apiserver with SIGSTOP until Resume is called. Meanwhile, the
// connections of the server stay open, but the server does not reply.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Resume makes a suspended kube-apiserver continue.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

// Process returns the process ID of the program "kube-apiserver" or "etcd".
func (s *Server) Process(program string) (int, error) { return s.keeper.process(program) }

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

// Folder creates a directory for files of the caller and returns the path of the directory.
// When the server stops, the directory is removed, even if this process is killed.
func (s *Server) Folder(name string) (string, error) {
	path := filepath.Join(s.keeper.directory, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", fmt.Errorf("creating a directory for the API server: %w", err)
	}
	return path, nil
}

// Config returns a configuration for clients with all rights. The caller may change the
// returned configuration, because it is a copy.
func (s *Server) Config() *rest.Config {
	return rest.CopyConfig(s.environment.Config)
}

// ProjectRoot returns the directory that contains the project's go.mod. It also works in the tests of
// another module that uses the project from the same checkout.
func ProjectRoot() (string, error) {
	directory, err := output("", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/sluicenet/sluice")
	if err != nil {
		return "", fmt.Errorf("finding the project's directory with go: %w", err)
	}
	return directory, nil
}

// assets returns the path of the directory with the programs kube-apiserver and etcd. It builds the
// programs if this machine has no build of them yet.
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
