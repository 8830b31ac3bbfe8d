// Package guard protects an HTTP server on the loopback interface against other web pages and other
// users. Every program on the machine can connect to the server, and every web page that the user
// opens can send requests to it.
package guard

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

const (
	// apiPrefix is the beginning of all paths that require a session. All other paths serve the
	// assets, which are public.
	apiPrefix = "/api/"
	// SessionPath is the path at which the page exchanges the token for a session.
	SessionPath = apiPrefix + "session"
)

// policy is the Content-Security-Policy. The page loads only its own scripts and styles.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// maxBody is the maximum size of the body of a request in bytes.
const maxBody = 1 << 20

// Guard admits requests of one browser. The browser gets a session in exchange for a token that can be
// used once. The token is in the address that the user opens.
type Guard struct {
	// hosts contains the valid values of the header Host.
	hosts   []string
	cookie  string
	session string

	mu    sync.Mutex
	token string
}

// New returns a Guard for a server at a TCP address, such as 127.0.0.1:8080.
func New(address net.Addr) (*Guard, error) {
	_, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return nil, fmt.Errorf("reading the address of the server: %w", err)
	}
	return &Guard{
		hosts: []string{"127.0.0.1:" + port, "localhost:" + port},
		// Browsers send the cookies of a host to all its ports, so the name contains the port.
		cookie:  "sluice-ui-" + port,
		session: rand.Text(),
		token:   rand.Text(),
	}, nil
}

// URL returns the address for the user. The token is in the fragment, which browsers do not send to
// servers.
func (g *Guard) URL() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return "http://" + g.hosts[0] + "/#token=" + g.token
}

// Protect returns a handler that passes only admitted requests to the next handler.
func (g *Guard) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w.Header())
		status, message := g.check(r)
		switch {
		case status != http.StatusOK:
			writeError(w, status, message)
		case r.URL.Path == SessionPath:
			g.exchange(w, r)
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			next.ServeHTTP(w, r)
		}
	})
}

func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// check returns http.StatusOK if the request is admitted. Otherwise it returns another status and a
// message.
func (g *Guard) check(r *http.Request) (status int, message string) {
	// A web page can resolve its own host name to 127.0.0.1 (DNS rebinding). Its requests then have
	// this name in the header Host.
	if !slices.Contains(g.hosts, r.Host) {
		return http.StatusMisdirectedRequest, "this host name is not the address of the page"
	}
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return http.StatusForbidden, "the request comes from another web page"
	}
	if !strings.HasPrefix(r.URL.Path, apiPrefix) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return http.StatusMethodNotAllowed, "the page can only be read"
		}
		return http.StatusOK, ""
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return http.StatusForbidden, "the request comes from another web page"
	}
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		// A form of another web page cannot send this type without a preflight request.
		if r.Header.Get("Content-Type") != "application/json" {
			return http.StatusUnsupportedMediaType, "want application/json"
		}
	default:
		return http.StatusMethodNotAllowed, "want GET or POST"
	}
	if r.URL.Path != SessionPath && !g.hasSession(r) {
		return http.StatusUnauthorized, "open the address that the command printed"
	}
	return http.StatusOK, ""
}

func (g *Guard) hasSession(r *http.Request) bool {
	c, err := r.Cookie(g.cookie)
	return err == nil && equal(c.Value, g.session)
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// exchange sets the cookie of the session if the body contains the token. It then discards the token.
func (g *Guard) exchange(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Token string `json:"token"`
	}
	if r.Method != http.MethodPost || json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&body) != nil {
		writeError(w, http.StatusBadRequest, "want a token")
		return
	}
	if !g.use(body.Token) {
		writeError(w, http.StatusUnauthorized, "the address was opened before, or belongs to another run; start the command again")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: g.session, Path: apiPrefix, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	w.WriteHeader(http.StatusNoContent)
}

// use reports whether the token is correct, and discards it in this case.
func (g *Guard) use(token string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.token == "" || !equal(token, g.token) {
		return false
	}
	g.token = ""
	return true
}

func writeError(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// Ignore the error: it means that the client has closed the connection.
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message})
}
