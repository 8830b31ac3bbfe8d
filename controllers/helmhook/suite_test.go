package helmhook_test

import (
	"os"
	"testing"

	"github.com/sluicenet/sluice/test/kube"
)

var server *kube.Server

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
