package status_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
)

func TestReadReturnsTheServedStatus(t *testing.T) {
	dir := t.TempDir()
	if _, err := status.Read(t.Context(), dir); !errors.Is(err, status.ErrNotRunning) || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Read without a dataplane: %v, want ErrNotRunning", err)
	}
	want := report.Status{Generation: 7, Queues: 2}
	first, err := serve(dir, report.Status{})
	if err != nil {
		t.Fatal(err)
	}
	// A new dataplane replaces the socket while the previous dataplane is still running.
	second, err := serve(dir, want)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := status.Read(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Read (-want +got):\n%s", diff)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := status.Read(t.Context(), dir); !errors.Is(err, status.ErrNotRunning) {
		t.Errorf("Read after Close: %v, want ErrNotRunning", err)
	}
}

func serve(dir string, s report.Status) (*status.Server, error) {
	return status.Serve(dir, status.Source{Status: func() (report.Status, error) { return s, nil }})
}

func TestFlowsReturnsAnErrorForEachEnd(t *testing.T) {
	dir := t.TempDir()
	follow := func(listening func()) error {
		return status.Flows(t.Context(), dir, true, listening, func(*report.Event) error { return nil })
	}
	if err := follow(func() { t.Error("listening was called without a dataplane") }); !errors.Is(err, status.ErrNotRunning) {
		t.Errorf("without a dataplane: %v, want ErrNotRunning", err)
	}
	without, err := serve(dir, report.Status{})
	if err != nil {
		t.Fatal(err)
	}
	if err := follow(func() { t.Error("listening was called, but no events are served") }); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("without events: %v, want 404", err)
	}
	if err := without.Close(); err != nil {
		t.Fatal(err)
	}
	with, err := status.Serve(dir, status.Source{
		Status: func() (report.Status, error) { return report.Status{}, errors.New("no list of queues") },
		Events: func(bool) (<-chan report.Event, func()) { return nil, func() {} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := status.Read(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "no list of queues") {
		t.Errorf("Read: %v, want the error of the server", err)
	}
	listening, ended := make(chan struct{}), make(chan error)
	go func() { ended <- follow(func() { close(listening) }) }()
	<-listening
	if err := with.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, status.ErrEnded) {
		t.Errorf("after the server is closed: %v, want ErrEnded", err)
	}
}
