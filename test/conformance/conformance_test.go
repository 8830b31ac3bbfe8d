package conformance_test

import (
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"
	reportv1alpha1 "sigs.k8s.io/network-policy-api/conformance/apis/v1alpha1"
	"sigs.k8s.io/network-policy-api/conformance/tests"
	"sigs.k8s.io/network-policy-api/conformance/utils/config"
	"sigs.k8s.io/network-policy-api/conformance/utils/suite"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/agnhost"
	"github.com/sluicenet/sluice/test/conformance"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/labcluster"
	"github.com/sluicenet/sluice/test/policyapi"
	"github.com/sluicenet/sluice/test/process"
)

// These constants are the numbers of tests in the suite. The documentation mentions them, so update
// it when a new version of the suite changes these numbers.
const (
	standardTests     = 24
	experimentalTests = 6
)

var (
	reportFile = flag.String("report", "", "the file to which the conformance report is written")
	version    = flag.String("version", "devel", "the version of Sluice in the conformance report")
	evidence   = flag.String("evidence", "", "the link in the conformance report that shows how the report was written")
)

// timeouts contains the timeouts of the suite. RequestTimeout is short, because the suite waits for
// this time at each of several hundred denied connections. The other timeouts are longer than the
// defaults, because other tests can run on the machine at the same time.
var timeouts = config.TimeoutConfig{
	RequestTimeout: 400 * time.Millisecond,
	PokeInterval:   50 * time.Millisecond,
	PokeTimeout:    20 * time.Second,
	GetTimeout:     time.Minute,
	DeleteTimeout:  time.Minute,
}

func TestMain(m *testing.M) {
	ctrllog.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// TestConformance runs all tests of the conformance suite of the Network Policy API, including
// the experimental tests. With the flag -report, it writes the report of the suite to a file.
func TestConformance(t *testing.T) {
	s := newSuite(t, newCluster(t))
	s.Setup(t)
	counted, ran := count(tests.ConformanceTests)
	if err := s.Run(t, counted); err != nil {
		t.Fatal(err)
	}
	if *ran < len(counted) && selectsSubtests() {
		t.Logf("there is no report, because only %d of %d tests ran", *ran, len(counted))
		return
	}
	report, err := s.Report()
	if err != nil {
		t.Fatal(err)
	}
	write(t, report)
	profile := report.ProfileReports[0]
	if *ran != standardTests+experimentalTests || profile.Standard.Passed != standardTests ||
		profile.Experimental == nil || profile.Experimental.Passed != experimentalTests {
		t.Errorf("%d tests ran, and not all of the %d standard tests and %d experimental tests passed", *ran, standardTests, experimentalTests)
	}
}

// count wraps the tests, so that *ran is the number of tests that have run. The report of the suite
// does not contain this number: if the flag -run leaves out a test, the suite reports that the test
// has passed.
func count(all []suite.ConformanceTest) (counted []suite.ConformanceTest, ran *int) {
	ran = new(int)
	for _, test := range all {
		run := test.Test
		test.Test = func(t *testing.T, s *suite.ConformanceTestSuite) {
			*ran++
			run(t, s)
		}
		counted = append(counted, test)
	}
	return counted, ran
}

// selectsSubtests reports whether the flag -run of `go test` selects individual tests of the suite.
func selectsSubtests() bool {
	return strings.Contains(flag.Lookup("test.run").Value.String(), "/")
}

// write logs the report, and writes it to the file that the flag -report names.
func write(t *testing.T, report *reportv1alpha1.ConformanceReport) {
	t.Helper()
	content, err := yaml.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("conformance report:\n%s", content)
	if *reportFile == "" {
		return
	}
	if err := os.WriteFile(*reportFile, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// newCluster starts a cluster with two nodes. Its API server serves ClusterNetworkPolicies. The
// deny action is Drop, because the suite requires that denied connections time out.
func newCluster(t *testing.T) *labcluster.Cluster {
	t.Helper()
	sluice := filepath.Join(t.TempDir(), "sluice")
	if err := process.Build(sluice, "cmd/sluice"); err != nil {
		t.Fatal(err)
	}
	cluster, err := labcluster.New(t.Context(), labcluster.Options{
		Program: sluice, Nodes: 2, Ports: agnhost.Ports, Spec: v1alpha1.EnforcerSpec{DenyAction: v1alpha1.DenyDrop},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			cluster.WriteLogs(t.Output())
		}
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	policyapi.Install(t, cluster.Client(), policyapi.V1beta1, policyapi.V1alpha2)
	if err := conformance.StartStatefulSets(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}
	return cluster
}

// newSuite returns the conformance suite for a cluster.
func newSuite(t *testing.T, cluster *labcluster.Cluster) *suite.ConformanceProfileTestSuite {
	t.Helper()
	scheme := kube.Scheme()
	for _, add := range []func() error{
		func() error { return v1beta1.Install(scheme) },
		func() error { return apiextensionsv1.AddToScheme(scheme) },
	} {
		if err := add(); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(cluster.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(conformance.Executor(cluster))
	t.Cleanup(server.Close)
	// The suite uses `executor` and `clientset` only to execute commands in pods.
	executor := rest.Config{Host: server.URL}
	clientset, err := kubernetes.NewForConfig(&executor)
	if err != nil {
		t.Fatal(err)
	}
	s, err := suite.NewConformanceProfileTestSuite(suite.ConformanceProfileOptions{
		Options: suite.Options{
			Client: c, ClientSet: clientset, KubeConfig: executor, TimeoutConfig: timeouts, EnableAllSupportedFeatures: true,
		},
		ConformanceProfiles: sets.New(suite.CNPConformanceProfileName),
		Implementation: reportv1alpha1.Implementation{
			Organization: "sluicenet", Project: "sluice", URL: "https://github.com/sluicenet/sluice", Version: *version,
			Contact:               []string{"https://github.com/sluicenet/sluice/issues/new"},
			AdditionalInformation: *evidence,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
