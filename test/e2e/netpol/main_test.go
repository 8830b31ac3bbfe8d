package netpol_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/labcluster"
	"github.com/sluicenet/sluice/test/process"
)

// theCluster is the cluster that scenarios share.
var theCluster *labcluster.Cluster

// sluice is the path of the program that runs on the nodes. TestMain builds the program once.
var sluice string

func TestMain(m *testing.M) {
	ctrllog.SetLogger(logr.Discard())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "sluice-netpol-test-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sluice = filepath.Join(dir, "sluice")
	if err := build(sluice, "lab"); err != nil {
		return 1, err
	}
	// With deny action Reject, a client gets an error at once if its connection is denied. So
	// the client need not wait for a timeout.
	theCluster, err = labcluster.New(context.Background(), labcluster.Options{Program: sluice, Spec: v1alpha1.EnforcerSpec{DenyAction: v1alpha1.DenyReject}})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, theCluster.Close()) }()
	return m.Run(), nil
}

// build builds the program with the given version and writes it to a file.
func build(path, version string) error {
	return process.Build(path, "cmd/sluice", "-ldflags", "-X github.com/sluicenet/sluice/internal/buildinfo.version="+version)
}
