package observe

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/controllers/access"
)

// +kubebuilder:rbac:groups="",resources=configmaps,resourceNames=extension-apiserver-authentication,verbs=get

// proxyConfig is the ConfigMap in which the API server publishes how other servers can
// recognize the requests that it forwards.
var proxyConfig = client.ObjectKey{Namespace: "kube-system", Name: "extension-apiserver-authentication"}

const (
	// proxyTTL is the time after which the ConfigMap is read again.
	proxyTTL = time.Minute
	// proxyRetry replaces proxyTTL after the ConfigMap could not be used. It limits how often
	// requests without a user cause a request to the API server.
	proxyRetry = 5 * time.Second
)

// proxies recognizes requests that the API server forwards, and reads their users.
type proxies struct {
	client client.Client

	mu   sync.Mutex
	read time.Time
	// The `current` field is nil until the ConfigMap has been read. Until then, the `failure` field
	// is the error of the last attempt.
	current *proxyTrust
	failure error
}

// proxyTrust is the content of the ConfigMap.
type proxyTrust struct {
	roots *x509.CertPool
	// names lists the common names of trusted client certificates. If the list is empty,
	// every name is trusted.
	names                             []string
	userHeaders, uidHeaders           []string
	groupHeaders, extraHeaderPrefixes []string
}

// user returns the user in the headers of a request. It returns nil if the client did not present a
// trusted certificate, because anyone could then have written the headers.
func (p *proxies) user(r *http.Request) (*access.User, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, p.explain(r)
	}
	trust, err := p.trust(r.Context())
	if err != nil {
		return nil, apierrors.NewServiceUnavailable(err.Error())
	}
	if !trust.verifies(r.TLS.PeerCertificates) {
		return nil, nil
	}
	out := &access.User{Username: first(r.Header, trust.userHeaders), UID: first(r.Header, trust.uidHeaders)}
	if out.Username == "" {
		return nil, apierrors.NewUnauthorized("the forwarded request names no user")
	}
	for _, name := range trust.groupHeaders {
		out.Groups = append(out.Groups, r.Header.Values(name)...)
	}
	out.Extra = extraOf(r.Header, trust.extraHeaderPrefixes)
	return out, nil
}

// explain returns an error that names the flags that the API server lacks, or nil if it
// probably lacks none. An API server without the flags of the aggregation layer forwards
// neither a client certificate nor the user's token, but it sends the headers with the user.
func (p *proxies) explain(r *http.Request) error {
	if r.Header.Get("Authorization") != "" {
		return nil
	}
	trust, err := p.trust(r.Context())
	switch {
	case errors.Is(err, errNoProxy):
		return apierrors.NewServiceUnavailable(errNoProxy.Error())
	case err == nil && first(r.Header, trust.userHeaders) != "":
		return apierrors.NewServiceUnavailable(errNoCertificate.Error())
	}
	return nil
}

func (t *proxyTrust) verifies(chain []*x509.Certificate) bool {
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: t.roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil && (len(t.names) == 0 || slices.Contains(t.names, chain[0].Subject.CommonName))
}

func first(header http.Header, names []string) string {
	for _, name := range names {
		if value := header.Get(name); value != "" {
			return value
		}
	}
	return ""
}

// extraOf returns the extra fields of a user. For each field, the API server sends a header
// whose name contains the escaped name of the field. RBAC ignores extra fields, but other
// authorizers can use them.
func extraOf(header http.Header, prefixes []string) map[string]authenticationv1.ExtraValue {
	var out map[string]authenticationv1.ExtraValue
	for name, values := range header {
		for _, prefix := range prefixes {
			if len(name) <= len(prefix) || !strings.EqualFold(name[:len(prefix)], prefix) {
				continue
			}
			key := strings.ToLower(name[len(prefix):])
			if plain, err := url.PathUnescape(key); err == nil {
				key = plain
			}
			if out == nil {
				out = map[string]authenticationv1.ExtraValue{}
			}
			out[key] = append(out[key], values...)
		}
	}
	return out
}

// trust returns the content of the ConfigMap. If the ConfigMap cannot be read again, the
// previous content stays valid.
func (p *proxies) trust(ctx context.Context) (*proxyTrust, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch age := time.Since(p.read); {
	case p.current != nil && age < proxyTTL:
		return p.current, nil
	case p.failure != nil && age < proxyRetry:
		return nil, p.failure
	}
	var config corev1.ConfigMap
	err := p.client.Get(ctx, proxyConfig, &config)
	var next *proxyTrust
	if err == nil {
		next, err = parseTrust(config.Data)
	}
	switch {
	case err == nil:
		p.current, p.read, p.failure = next, time.Now(), nil
	case p.current == nil:
		err = fmt.Errorf("reading how the API server forwards requests: %w", err)
		if ctx.Err() == nil {
			p.read, p.failure = time.Now(), err
		}
		return nil, err
	}
	return p.current, nil
}

// errNoProxy is returned if the API server has no client certificate with which it could prove its
// identity.
var errNoProxy = errors.New("the API server is not configured to forward requests: flow events and the statuses of nodes " +
	"need the aggregation layer, which the flags --requestheader-client-ca-file and --proxy-client-cert-file of the API server enable")

// errNoCertificate is returned for a request that the API server forwarded without a client
// certificate.
var errNoCertificate = errors.New("the API server forwards requests without a client certificate: flow events and the statuses of nodes " +
	"need the aggregation layer, for which the API server lacks the flags --proxy-client-cert-file and --proxy-client-key-file")

func parseTrust(data map[string]string) (*proxyTrust, error) {
	out := &proxyTrust{roots: x509.NewCertPool()}
	if !out.roots.AppendCertsFromPEM([]byte(data["requestheader-client-ca-file"])) {
		return nil, errNoProxy
	}
	for key, list := range map[string]*[]string{
		"requestheader-allowed-names":        &out.names,
		"requestheader-username-headers":     &out.userHeaders,
		"requestheader-uid-headers":          &out.uidHeaders,
		"requestheader-group-headers":        &out.groupHeaders,
		"requestheader-extra-headers-prefix": &out.extraHeaderPrefixes,
	} {
		if data[key] == "" {
			continue
		}
		if err := json.Unmarshal([]byte(data[key]), list); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return out, nil
}
