package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const helpers = `package a

import k "github.com/sluicenet/sluice/test/kube"

type cluster struct{ server server }

type server struct{}

func (s *server) start() { k.Start() }

func newCluster() *cluster { return &cluster{} }

var shared = newCluster()
`

const testFile = `package a

import "testing"

func TestByMethod(t *testing.T) { newCluster().server.start() }

func TestByVariable(t *testing.T) { t.Run("x", func(t *testing.T) { shared.run() }) }

func TestFree(t *testing.T) { x := other{}; x.start(); x.shared() }

func BenchmarkFree(b *testing.B) {}

func Testify() {}
`

func analyzed(t *testing.T, environment bool, files map[string]string) tests {
	t.Helper()
	g := newGraph(environment)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := g.add(name, []byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	return g.tests()
}

func TestTestsThatUseAnEnvironmentAreLeftOut(t *testing.T) {
	direct := "package a\n\nimport \"github.com/sluicenet/sluice/test/lab\"\n\nfunc TestDirect(t *testing.T) { lab.New(t) }\n"
	got := analyzed(t, false, map[string]string{
		"helpers_test.go": helpers,
		"a_test.go":       testFile,
		"main_test.go":    direct,
	})
	want := tests{free: []string{"TestFree"}, need: []string{"TestByMethod", "TestByVariable", "TestDirect"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(tests{})); diff != "" {
		t.Errorf("tests (-want +got):\n%s", diff)
	}
}

func TestAllTestsDependOnTestMain(t *testing.T) {
	got := analyzed(t, false, map[string]string{
		"helpers_test.go": helpers,
		"a_test.go":       "package a\n\nfunc TestFree(t *testing.T) {}\n",
		"main_test.go":    "package a\n\nfunc TestMain(m *testing.M) { shared.server.start() }\n",
	})
	if diff := cmp.Diff(tests{need: []string{"TestFree"}}, got, cmp.AllowUnexported(tests{})); diff != "" {
		t.Errorf("tests (-want +got):\n%s", diff)
	}
}

func TestProgramsDoNotReferToTests(t *testing.T) {
	got := analyzed(t, false, map[string]string{
		"a.go":            "package a\n\nfunc run() { shared := 1; print(shared) }\n",
		"a_test.go":       "package a\n\nfunc TestFree(t *testing.T) { run() }\n",
		"helpers_test.go": helpers,
	})
	if diff := cmp.Diff(tests{free: []string{"TestFree"}}, got, cmp.AllowUnexported(tests{})); diff != "" {
		t.Errorf("tests (-want +got):\n%s", diff)
	}
}

func TestMainOfTheServerIsNotAnEnvironment(t *testing.T) {
	main := `package a

import "github.com/sluicenet/sluice/test/kube"

var server *kube.Server

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }

func TestFree(t *testing.T) {}

func TestServer(t *testing.T) { server.Client(t) }
`
	want := tests{free: []string{"TestFree"}, need: []string{"TestServer"}}
	if diff := cmp.Diff(want, analyzed(t, false, map[string]string{"a_test.go": main}), cmp.AllowUnexported(tests{})); diff != "" {
		t.Errorf("tests (-want +got):\n%s", diff)
	}
}

func TestAnEnvironmentItselfIsLeftOut(t *testing.T) {
	got := analyzed(t, true, map[string]string{"a_test.go": "package kube\n\nfunc TestFree(t *testing.T) {}\n"})
	if len(got.free) > 0 {
		t.Errorf("free tests %v in an environment, want none", got.free)
	}
}
