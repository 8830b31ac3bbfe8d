package sysdump_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/sysdump"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/policyapi"
)

var server *kube.Server

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }

// seed is a text that every secret value in this test contains. An archive must not contain
// it.
const seed = "hunter2"

// logText is the log of each container. It contains a token, as an error message of a library
// could.
const logText = `{"level":"error","msg":"reading pod store-7f9c/checkout-1","error":"Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.` + seed + `.x"}
{"level":"info","msg":"password=` + seed + `"}
`

// connect returns a connection with the rights of a configuration. The API server cannot read
// logs, because there is no kubelet, so a proxy responds to requests for logs.
func connect(t *testing.T, config *rest.Config) *live.Connection {
	t.Helper()
	target, err := url.Parse(config.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/log") {
			_, _ = io.WriteString(w, logText)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	err = clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"here": {Server: front.URL}},
		Contexts:       map[string]*clientcmdapi.Context{"here": {Cluster: "here"}},
		CurrentContext: "here",
	}, path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := live.Connect(live.Options{Kubeconfig: path})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fill creates objects whose fields contain secrets: the pods, a policy and a ConfigMap of a
// tenant, and the objects of Sluice. It returns the namespaces of Sluice and of the tenant.
func fill(t *testing.T) (system, tenant string) {
	t.Helper()
	c := server.Client(t)
	system, tenant = server.Namespace(t), server.Namespace(t)
	create := func(objects ...client.Object) {
		t.Helper()
		for _, o := range objects {
			if err := c.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
	}
	meta := func(namespace, name string, labels map[string]string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels, Annotations: map[string]string{"example.com/token": seed, "policy.sluice.dev/note": "kept"}}
	}
	spec := corev1.PodSpec{NodeName: "worker-9", Containers: []corev1.Container{{
		Name: "operator", Image: "sluice:test", Command: []string{"/" + seed}, Args: []string{"operator", "--namespace", "kept", "--password", seed, "--token=" + seed, seed},
		Env: []corev1.EnvVar{{Name: "TOKEN", Value: seed}},
	}}}
	ours := map[string]string{"app.kubernetes.io/name": "sluice", "app.kubernetes.io/component": "operator"}
	template := corev1.PodTemplateSpec{ObjectMeta: meta("", "", ours), Spec: spec}
	template.Spec.NodeName = ""
	selector := &metav1.LabelSelector{MatchLabels: ours}
	own := &corev1.Pod{ObjectMeta: meta(system, "sluice-operator-1", ours), Spec: spec}
	create(own,
		&appsv1.Deployment{ObjectMeta: meta(system, "sluice-operator", ours), Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}},
		&corev1.ConfigMap{ObjectMeta: meta(system, "sluice-pod-ranges", nil), Data: map[string]string{"ranges": "10.0.0.0/8"}},
		&corev1.ConfigMap{ObjectMeta: meta(system, "other", nil), Data: map[string]string{"password": seed}},
		&corev1.Secret{ObjectMeta: meta(system, "secret", nil), StringData: map[string]string{"password": seed}},
		&corev1.Pod{ObjectMeta: meta(tenant, "checkout-1", map[string]string{"team": "payments"}), Spec: spec},
		&networkingv1.NetworkPolicy{ObjectMeta: meta(tenant, "protect-checkout", nil), Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"team": "payments"}},
		}},
		&corev1.Event{ObjectMeta: meta(system, "event", nil), InvolvedObject: corev1.ObjectReference{Namespace: system, Kind: "Pod", Name: "sluice-operator-1"}, Reason: "Failed", Message: "token: " + seed},
	)
	tier := policyapi.Policy(t, policyapi.V1beta1, "protect-everything", `{tier: Admin, priority: 7, subject: {namespaces: {matchLabels: {segment: vault}}}, egress: [
		{name: no-leaks, action: Deny, to: [{pods: {namespaceSelector: {}, podSelector: {matchExpressions: [{key: color, operator: In, values: [mauve]}]}}}]},
		{action: Accept, to: [{domainNames: [bank.example]}]}]}`)
	tier.SetAnnotations(map[string]string{"example.com/token": seed})
	create(tier, &v1alpha1.ClusterPolicyStatus{ObjectMeta: meta("", "protect-everything", nil)})
	own.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "operator", RestartCount: 1}}
	if err := c.Status().Update(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	return system, tenant
}

// dump writes an archive and returns the content of its files.
func dump(t *testing.T, c *live.Connection, o sysdump.Options) (files map[string]string, unread []string) {
	t.Helper()
	o.Release, o.Lines, o.Pods, o.Now = "0.1.0", 100, 5, time.Unix(1_700_000_000, 0)
	var out bytes.Buffer
	unread, err := sysdump.Write(t.Context(), c, &out, o)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gzip.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for archive := tar.NewReader(plain); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, unread
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(header.Name, "sluice-sysdump/")] = string(content)
	}
}

func TestWrite(t *testing.T) {
	policyapi.Install(t, server.Client(t), policyapi.V1beta1, policyapi.V1alpha2)
	system, tenant := fill(t)
	c := connect(t, server.Config())
	files, unread := dump(t, c, sysdump.Options{Namespace: system})
	if len(unread) > 0 {
		t.Errorf("could not read %q", unread)
	}
	for name, content := range files {
		if strings.Contains(content, seed) {
			t.Errorf("%s contains a secret:\n%s", name, content)
		}
		if strings.HasSuffix(name, ".json") && !json.Valid([]byte(content)) {
			t.Errorf("%s is not JSON", name)
		}
	}
	for name, want := range map[string]string{
		"README.txt": "- logs/sluice-operator-1/operator.log", "check.txt": "operator", "status.txt": "Cluster cluster: NOT enforced",
		"version.json": `"program": "0.1.0"`, "pods.json": `"checkout-1"`, "namespaces.json": tenant, "nodes.json": "[",
		"networkpolicies.json": `"team": "payments"`, "system/deployments.json": `"kept"`, "system/pods.json": `"policy.sluice.dev/note": "kept"`,
		"system/events.json": `"token: REMOVED"`, "system/sluice-pod-ranges.json": "10.0.0.0/8", "system/daemonsets.json": "[]",
		"clusternetworkpolicies.json": `"priority": 7`, "clusterpolicystatuses.json": `"protect-everything"`,
		"logs/sluice-operator-1/operator.log": "store-7f9c", "logs/sluice-operator-1/operator.previous.log": `"level":"info"`,
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s lacks %q:\n%s", name, want, files[name])
		}
	}
	var tiers struct {
		Served []string
		Items  []struct {
			APIVersion string
			Spec       struct{ Tier string }
		}
	}
	if err := json.Unmarshal([]byte(files["clusternetworkpolicies.json"]), &tiers); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(tiers.Served, []string{"v1alpha2", "v1beta1"}) || len(tiers.Items) != 1 || tiers.Items[0].APIVersion != "policy.networking.k8s.io/v1beta1" {
		t.Errorf("clusternetworkpolicies.json contains %+v, want one policy and both versions", tiers)
	}
	t.Run("anonymized", func(t *testing.T) {
		files, _ := dump(t, c, sysdump.Options{Namespace: system, Anonymize: true})
		var pod string
		for name, content := range files {
			for _, original := range []string{
				tenant, "checkout-1", "protect-checkout", "payments", `"team"`, "worker-9",
				"protect-everything", "segment", "vault", "no-leaks", `"color"`, "mauve", "bank.example",
			} {
				if strings.Contains(content, original) {
					t.Errorf("%s contains the name %s:\n%s", name, original, content)
				}
			}
		}
		if !strings.Contains(files["clusternetworkpolicies.json"], `"tier": "Admin"`) {
			t.Errorf("clusternetworkpolicies.json: %s", files["clusternetworkpolicies.json"])
		}
		var pods []struct{ Metadata struct{ Name string } }
		if err := json.Unmarshal([]byte(files["pods.json"]), &pods); err != nil {
			t.Fatal(err)
		}
		for _, p := range pods {
			if strings.HasPrefix(p.Metadata.Name, "pod-") && strings.Contains(files["logs/sluice-operator-1/operator.log"], p.Metadata.Name) {
				pod = p.Metadata.Name
			}
		}
		if pod == "" {
			t.Errorf("the log and pods.json use different names: %s", files["logs/sluice-operator-1/operator.log"])
		}
	})
}

// TestWriteWithoutRights checks that a user without rights gets an archive that lists what
// could not be read.
func TestWriteWithoutRights(t *testing.T) {
	policyapi.Install(t, server.Client(t), policyapi.V1alpha2)
	files, unread := dump(t, connect(t, server.User(t, "sysdump-stranger")), sysdump.Options{Namespace: "sluice-system"})
	for _, what := range []string{"pods", "namespaces", "networkpolicies", "clusternetworkpolicies", "nodes", "system/events"} {
		if !slices.ContainsFunc(unread, func(s string) bool { return strings.HasPrefix(s, what+": ") }) {
			t.Errorf("%s is not in %q", what, unread)
		}
		if !strings.Contains(files["README.txt"], "- "+what+": ") {
			t.Errorf("%s is not in README.txt:\n%s", what, files["README.txt"])
		}
	}
	if files["check.txt"] == "" || files["pods.json"] != "[]\n" {
		t.Errorf("check.txt: %q, pods.json: %q", files["check.txt"], files["pods.json"])
	}
}
