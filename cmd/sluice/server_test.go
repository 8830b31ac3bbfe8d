package main

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"
)

// serve starts an API server that a handler simulates. It returns the path of a kubeconfig file for
// the server.
func serve(t *testing.T, handler http.Handler) (kubeconfig string) {
	t.Helper()
	s := httptest.NewTLSServer(handler)
	t.Cleanup(s.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return kubeconfigOf(t, &rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{CAData: authority}}, "")
}
