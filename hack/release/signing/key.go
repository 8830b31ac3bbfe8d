// Package signing signs the artefacts of a release with an Ed25519 key, and verifies the
// signatures. Ed25519 signatures are deterministic, so two builds of a release with the same key
// have identical signatures.
package signing

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/signerverifier"
)

// Key is a private or a public key.
type Key = signerverifier.ED25519SignerVerifier

// Load reads a private or a public Ed25519 key from a PEM file.
func Load(file string) (*Key, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parsed, err := signerverifier.LoadKey(content)
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", file, err)
	}
	if parsed.KeyType != signerverifier.ED25519KeyType {
		return nil, fmt.Errorf("the key %s has type %s, want %s", file, parsed.KeyType, signerverifier.ED25519KeyType)
	}
	return signerverifier.NewED25519SignerVerifierFromSSLibKey(parsed)
}

// Generate writes a new private key to a PEM file, and its public key to the same path with the
// suffix ".pub".
func Generate(file string) error {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return fmt.Errorf("generating a key: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("encoding the private key: %w", err)
	}
	shared, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("encoding the public key: %w", err)
	}
	if err := create(file, "PRIVATE KEY", secret, 0o600); err != nil {
		return err
	}
	return create(file+".pub", "PUBLIC KEY", shared, 0o644)
}

// create writes a new PEM file. It does not overwrite an existing file.
func create(file, kind string, content []byte, mode os.FileMode) error {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := pem.Encode(out, &pem.Block{Type: kind, Bytes: content}); err != nil {
		return err
	}
	return out.Close()
}
