package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorder is an API server that denies every request, and records the last one.
type recorder struct {
	mu   sync.Mutex
	last *http.Request
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = request
	http.Error(w, "denied", http.StatusForbidden)
}

// readers contains, for each command that reads a cluster, its required arguments.
func readers(t *testing.T) map[string][]string {
	return map[string][]string{
		"explain":  {"--from", "web", "--to", "db", "--port", "80"},
		"matrix":   {"--port", "80"},
		"lint":     nil,
		"evaluate": {"--flows", writeFile(t, "flows", `{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80}`)},
		"status":   nil,
		"flows":    {"--retry", "0s"},
		"check":    nil,
		"sysdump":  {"--file", "-"},
		"version":  nil,
		"diff":     {"--delete", "shop/db"},
		"hits":     nil,
		"ui":       {"--no-browser"},
	}
}

// TestConnectionFlags checks that each command that reads a cluster has kubectl's connection flags,
// and that these flags have the same effects as in kubectl.
func TestConnectionFlags(t *testing.T) {
	r := &recorder{}
	s := httptest.NewTLSServer(r)
	defer s.Close()
	flags := []string{
		"-s", s.URL, "--insecure-skip-tls-verify", "--token", "secret", "--as", "alice", "--as-uid", "7", "--as-group", "devs", "--as-group", "all",
		"--as-user-extra", "scopes=view", "--request-timeout", "10s", "--disable-compression",
	}
	for _, program := range []string{"sluice", "kubectl-sluice"} {
		for command, args := range readers(t) {
			t.Run(program+" "+command, func(t *testing.T) {
				r.last = nil
				code, _, stderr := sluiceAs(program, "", append(append([]string{command}, args...), flags...)...)
				if code == exitDone && command != "sysdump" || r.last == nil {
					t.Fatalf("exit %d, request %v: %s", code, r.last, stderr)
				}
				got := map[string][]string{}
				for _, name := range []string{"Authorization", "Impersonate-User", "Impersonate-Uid", "Impersonate-Group", "Impersonate-Extra-Scopes"} {
					got[name] = r.last.Header[name]
				}
				want := map[string][]string{
					"Authorization": {"Bearer secret"}, "Impersonate-User": {"alice"}, "Impersonate-Uid": {"7"},
					"Impersonate-Group": {"devs", "all"}, "Impersonate-Extra-Scopes": {"view"},
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("headers (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestClusterAndUser checks that --cluster and --user select entries of the kubeconfig, and that
// --request-timeout limits the time of a request.
func TestClusterAndUser(t *testing.T) {
	r := &recorder{}
	s := httptest.NewTLSServer(r)
	defer s.Close()
	kubeconfig := writeFile(t, "kubeconfig", `
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: gone, user: stranger}}]
clusters: [{name: gone, cluster: {server: "http://127.0.0.1:1"}}, {name: there, cluster: {server: "`+s.URL+`", insecure-skip-tls-verify: true}}]
users: [{name: stranger, user: {}}, {name: me, user: {token: mine}}]
`)
	code, _, stderr := sluice("", "lint", "--kubeconfig", kubeconfig, "--cluster", "there", "--user", "me")
	if code != exitFailed || r.last == nil || r.last.Header.Get("Authorization") != "Bearer mine" {
		t.Errorf("exit %d, request %v: %s", code, r.last, stderr)
	}
	released := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-released }))
	defer slow.Close()
	defer close(released)
	code, _, stderr = sluice("", "lint", "--server", slow.URL, "--request-timeout", "50ms")
	if code != exitFailed || !strings.Contains(stderr, "Timeout") && !strings.Contains(stderr, "deadline") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func TestWrongConnectionFlags(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"user extra":        {[]string{"lint", "--as", "a", "--as-user-extra", "scopes"}, "--as-user-extra scopes: want key=value\n"},
		"timeout":           {[]string{"lint", "--server", "https://127.0.0.1:1", "--request-timeout", "soon"}, "reading kubeconfig: "},
		"verbosity":         {[]string{"lint", "-v", "much"}, `invalid argument "much" for "-v, --v" flag: want a number from 0 to 10; see sluice lint --help`},
		"no such verbosity": {[]string{"lint", "-v=11"}, `invalid argument "11" for "-v, --v" flag: want a number from 0 to 10; see sluice lint --help`},
		"not the version":   {[]string{"-v"}, "unknown shorthand flag: 'v' in -v"},
		"files and a user":  {[]string{"lint", "-f", "x", "--as", "alice"}, "-f cannot be used with --context or another flag that selects a cluster\n"},
		"a node and a user": {[]string{"status", "--state-dir", "x", "--as", "alice"}, "--state-dir selects this node, so it cannot be used with --node, --context or another flag that selects a cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, _, stderr := sluice("", test.args...); code != exitWrongInput || !strings.HasPrefix(stderr, test.want) {
				t.Errorf("exit %d: %s, want %s", code, stderr, test.want)
			}
		})
	}
}

// TestVerbosity checks that -v sets the level of the log of client-go.
func TestVerbosity(t *testing.T) {
	s := httptest.NewTLSServer(&recorder{})
	defer s.Close()
	for level, want := range map[string]struct{ request, header bool }{
		"0": {false, false}, "6": {true, false}, "8": {true, true},
	} {
		_, _, stderr := sluice("", "lint", "--server", s.URL, "--insecure-skip-tls-verify", "--token", "secret", "-v", level)
		if strings.Contains(stderr, `verb="GET"`) != want.request || strings.Contains(stderr, "Accept: application/json") != want.header {
			t.Errorf("level %s:\n%s", level, stderr)
		}
		if strings.Contains(stderr, "secret") {
			t.Errorf("the log contains the token:\n%s", stderr)
		}
	}
}

// TestOptions checks that the command options lists the flags that other commands do not show.
func TestOptions(t *testing.T) {
	code, stdout, stderr := sluiceAs("kubectl-sluice", "", "options")
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, flag := range []string{"--as string", "--as-group", "--cluster", "--context name", "--kubeconfig file", "--request-timeout", "-s, --server", "--token", "--user string", "-v, --v level"} {
		if !strings.Contains(stdout, flag) {
			t.Errorf("no %s in\n%s", flag, stdout)
		}
	}
	for line := range strings.Lines(stdout) {
		if len(line) > optionsWidth+1 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}
