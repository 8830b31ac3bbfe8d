package health_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/internal/health"
)

// A check succeeds over TCP and over a unix socket, even if an earlier process has left a
// unix socket at the same path.
func TestCheck(t *testing.T) {
	handler := http.NewServeMux()
	handler.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	handler.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not yet", http.StatusServiceUnavailable)
	})
	socket := "unix:" + filepath.Join(t.TempDir(), "health.sock")
	for _, address := range []string{"127.0.0.1:0", socket, socket} {
		l, err := health.Listen(address)
		if err != nil {
			t.Fatal(err)
		}
		go health.Serve(l, handler)
		if address != socket {
			address = l.Addr().String()
		}
		if err := health.Check(t.Context(), address, "/healthz"); err != nil {
			t.Errorf("%s: %v", address, err)
		}
		if err := health.Check(t.Context(), address, "/readyz"); err == nil || !strings.Contains(err.Error(), "not yet") {
			t.Errorf("%s: %v, want the reason", address, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := health.Check(t.Context(), address, "/healthz"); err == nil {
			t.Errorf("%s: a check succeeds without a server", address)
		}
	}
}
