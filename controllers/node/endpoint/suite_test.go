package endpoint_test

import (
	"os"
	"testing"

	"github.com/sluicenet/sluice/test/kube"
)

var server *kube.Server

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }
