// Package certificate creates self-signed TLS certificates. Their private keys exist only in
// the memory of the process. A client trusts such a certificate because the process has
// published it, or its fingerprint, in an object that only this process can write.
package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// skew is the time by which the clock of a client may be behind the clock of this process.
const skew = time.Hour

// New returns a certificate for the given DNS names. The certificate is valid from one
// hour before now until the given lifetime after now.
func New(lifetime time.Duration, names ...string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("creating a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("creating a serial number: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "sluice"},
		DNSNames:     names,
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	content, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("creating a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(content)
	if err != nil {
		return nil, fmt.Errorf("reading the created certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{content}, PrivateKey: key, Leaf: leaf}, nil
}

// Fingerprint returns the SHA-256 digest of an encoded certificate in hexadecimal.
func Fingerprint(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// ErrOtherCertificate is returned during the TLS handshake if the certificate of the server
// does not have the pinned fingerprint.
var ErrOtherCertificate = errors.New("the server uses another certificate than the published one")

// Pinned returns the TLS configuration of a client that accepts only the certificate with
// the given fingerprint. The configuration ignores names and the validity period.
func Pinned(fingerprint string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// This field disables the standard verification. VerifyConnection replaces it.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 || Fingerprint(state.PeerCertificates[0].Raw) != fingerprint {
				return ErrOtherCertificate
			}
			return nil
		},
	}
}
