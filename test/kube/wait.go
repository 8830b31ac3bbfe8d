package kube

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// FreeAddress returns a TCP address on the loopback interface. No program listens on this
// address.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Fetch requests a URL and returns the body of the response. If the status of the response is
// not 200, Fetch returns an error.
func Fetch(url string) (body string, err error) {
	response, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, content)
	}
	return string(content), err
}
