package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// frontProxy is the common name of the certificate with which the API server proves its
// identity to the servers of aggregated APIs.
const frontProxy = "front-proxy-client"

// frontProxyLifetime is the lifetime of the certificate. No server runs longer than this
// time.
const frontProxyLifetime = 7 * 24 * time.Hour

// enableAggregation configures an API server to forward requests for aggregated APIs, as clusters
// usually do. The certificate is self-signed, so it is also the certificate authority. If the
// `identify` parameter is false, the API server does not use the certificate.
func enableAggregation(server *envtest.APIServer, directory string, identify bool) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: frontProxy},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(frontProxyLifetime),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	content, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	files := map[string]*pem.Block{
		"front-proxy.crt": {Type: "CERTIFICATE", Bytes: content},
		"front-proxy.key": {Type: "EC PRIVATE KEY", Bytes: private},
	}
	for name, block := range files {
		if err := os.WriteFile(filepath.Join(directory, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return fmt.Errorf("writing the front proxy's certificate: %w", err)
		}
	}
	certificate := filepath.Join(directory, "front-proxy.crt")
	if identify {
		server.Configure().Set("proxy-client-cert-file", certificate).Set("proxy-client-key-file", filepath.Join(directory, "front-proxy.key"))
	}
	for flag, value := range map[string]string{
		"requestheader-client-ca-file": certificate, "requestheader-allowed-names": frontProxy,
		"requestheader-username-headers": "X-Remote-User", "requestheader-group-headers": "X-Remote-Group",
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
	} {
		server.Configure().Set(flag, value)
	}
	return nil
}
