package guard_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/ui/internal/guard"
)

const host = "127.0.0.1:8080"

type fixture struct {
	t       *testing.T
	handler http.Handler
	token   string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	g, err := guard.New(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080})
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(g.URL(), "#token=")
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	return &fixture{t, g.Protect(next), token}
}

// send sends a request. The edit function changes a valid request.
func (f *fixture) send(method, path, body string, edit func(*http.Request)) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequest(method, "http://"+host+path, strings.NewReader(body))
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", "http://"+host)
	}
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

// cookies returns the cookies that a response sets.
func cookies(w *httptest.ResponseRecorder) []*http.Cookie {
	var out []*http.Cookie
	for _, line := range w.Header().Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil {
			out = append(out, c)
		}
	}
	return out
}

func (f *fixture) exchange(token string) *httptest.ResponseRecorder {
	f.t.Helper()
	return f.send(http.MethodPost, guard.SessionPath, `{"token":"`+token+`"}`, nil)
}

func TestSession(t *testing.T) {
	f := newFixture(t)
	for _, wrong := range []string{"", "x", f.token + "x"} {
		if got := f.exchange(wrong); got.Code != http.StatusUnauthorized || len(cookies(got)) > 0 {
			t.Errorf("token %q: status %d", wrong, got.Code)
		}
	}
	got := f.exchange(f.token)
	if got.Code != http.StatusNoContent || len(cookies(got)) != 1 {
		t.Fatalf("correct token: status %d", got.Code)
	}
	cookie := cookies(got)[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/api/" {
		t.Errorf("cookie = %+v", cookie)
	}
	if got := f.exchange(f.token); got.Code != http.StatusUnauthorized {
		t.Errorf("second use of the token: status %d", got.Code)
	}
	if got := f.send(http.MethodGet, "/api/overview", "", func(r *http.Request) { r.AddCookie(cookie) }); got.Code != http.StatusTeapot {
		t.Errorf("with the cookie: status %d", got.Code)
	}
}

func TestRejectedRequests(t *testing.T) {
	f := newFixture(t)
	cookie := cookies(f.exchange(f.token))[0]
	for _, c := range []struct {
		name, method, path string
		edit               func(*http.Request)
		want               int
	}{
		{"no session", "GET", "/api/overview", func(r *http.Request) { r.Header.Del("Cookie") }, http.StatusUnauthorized},
		{"wrong session", "GET", "/api/overview", func(r *http.Request) { r.Header.Set("Cookie", cookie.Name+"=x") }, http.StatusUnauthorized},
		{"DNS rebinding", "GET", "/api/overview", func(r *http.Request) { r.Host = "attacker.example:8080" }, http.StatusMisdirectedRequest},
		{"DNS rebinding of the page", "GET", "/", func(r *http.Request) { r.Host = "attacker.example:8080" }, http.StatusMisdirectedRequest},
		{"another port", "GET", "/api/overview", func(r *http.Request) { r.Host = "127.0.0.1:8081" }, http.StatusMisdirectedRequest},
		{"another origin", "POST", "/api/draft", func(r *http.Request) { r.Header.Set("Origin", "http://attacker.example") }, http.StatusForbidden},
		{"another port of this machine", "GET", "/api/overview", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, http.StatusForbidden},
		{"another site", "GET", "/api/overview", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		{"a form", "POST", "/api/draft", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, http.StatusUnsupportedMediaType},
		{"a method that changes", "DELETE", "/api/policy", nil, http.StatusMethodNotAllowed},
		{"a change of an asset", "PUT", "/app.js", nil, http.StatusMethodNotAllowed},
	} {
		got := f.send(c.method, c.path, "", func(r *http.Request) {
			r.AddCookie(cookie)
			if c.edit != nil {
				c.edit(r)
			}
		})
		if got.Code != c.want {
			t.Errorf("%s: status %d, want %d", c.name, got.Code, c.want)
		}
		if got.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: another web page may read the response", c.name)
		}
	}
}

func TestHeaders(t *testing.T) {
	got := newFixture(t).send(http.MethodGet, "/", "", nil)
	policy := got.Header().Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self';") || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy: %s", policy)
	}
	for header, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
		if got.Header().Get(header) != want {
			t.Errorf("%s: %q, want %q", header, got.Header().Get(header), want)
		}
	}
}
