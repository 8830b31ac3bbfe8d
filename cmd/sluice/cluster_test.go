package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	querystatus "github.com/sluicenet/sluice/query/status"
)

// kubeconfigOf writes a kubeconfig file and returns its path. The file contains one context,
// which has the name "here" and the given namespace.
func kubeconfigOf(t *testing.T, config *rest.Config, namespace string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"here": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"me": {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"here": {Cluster: "here", AuthInfo: "me", Namespace: namespace}},
		CurrentContext: "here",
	}, path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// shop creates a namespace with the pods web and db, and with a policy that allows
// connections from web to db on TCP port 5432. It returns the name of the namespace and the
// path of a dump of the cluster.
func shop(t *testing.T) (namespace, dump string) {
	t.Helper()
	c := server.Client(t)
	namespace = server.Namespace(t)
	for name, address := range map[string]string{"web": "10.9.1.1", "db": "10.9.2.1", "other": "10.9.3.1"} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
			Spec:       corev1.PodSpec{NodeName: "n-" + name, Containers: []corev1.Container{{Name: "c", Image: "i", Ports: []corev1.ContainerPort{{Name: "sql", ContainerPort: 5432}}}}},
		}
		create(t, c, pod)
		pod.Status.Phase = corev1.PodRunning
		pod.Status.PodIPs = []corev1.PodIP{{IP: address}}
		pod.Status.PodIP = address
		if err := c.Status().Update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	port := intstr.FromString("sql")
	create(t, c, &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "db"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{
				From:  []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}}},
				Ports: []networkingv1.NetworkPolicyPort{{Port: &port}},
			}},
		},
	}, &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "selects-no-pod"},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "dbb"}}},
	})
	return namespace, dumpOf(t, c)
}

func create(t *testing.T, c client.Client, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			err := c.Delete(context.WithoutCancel(t.Context()), o, client.GracePeriodSeconds(0))
			if client.IgnoreNotFound(err) != nil {
				t.Error(err)
			}
		})
	}
}

// dumpOf writes a dump of the cluster to a file and returns the path of the file. The dump
// has the same format as the output of `kubectl get pods,namespaces,nodes,networkpolicies -A
// -o json`.
func dumpOf(t *testing.T, c client.Client) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dump.json")
	var text bytes.Buffer
	for kind, list := range map[string]client.ObjectList{
		"PodList": &corev1.PodList{}, "NamespaceList": &corev1.NamespaceList{}, "NodeList": &corev1.NodeList{}, "NetworkPolicyList": &networkingv1.NetworkPolicyList{},
	} {
		if err := c.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		group := corev1.SchemeGroupVersion
		if kind == "NetworkPolicyList" {
			group = networkingv1.SchemeGroupVersion
		}
		list.GetObjectKind().SetGroupVersionKind(group.WithKind(kind))
		if err := json.NewEncoder(&text).Encode(list); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLiveCluster checks that a command prints the same output for a cluster as for a dump of
// this cluster.
func TestLiveCluster(t *testing.T) {
	namespace, dump := shop(t)
	kubeconfig := kubeconfigOf(t, server.Config(), namespace)
	flows := writeFile(t, "flows", `{"src":"10.9.3.1","dst":"10.9.2.1","protocol":"TCP","port":5432}`+"\n")
	for name, args := range map[string][]string{
		"allowed":        {"explain", "-n", namespace, "--from", "web", "--to", "db", "--port", "sql"},
		"denied":         {"explain", "-n", namespace, "--from", "other", "--to", "db", "--port", "5432", "-o", "json"},
		"matrix":         {"matrix", "-n", namespace, "--port", "5432"},
		"evaluate":       {"evaluate", "--flows", flows},
		"an address out": {"explain", "--from", "203.0.113.1", "--to", namespace + "/db", "--port", "5432"},
	} {
		t.Run(name, func(t *testing.T) {
			_, want, _ := sluice("", append(args, "-f", dump)...)
			code, got, stderr := sluiceAs("kubectl-sluice", "", append(args, "--kubeconfig", kubeconfig)...)
			if code != exitDone || got == "" {
				t.Fatalf("exit %d: %s", code, stderr)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("by the dump and by the cluster (-dump +cluster):\n%s", diff)
			}
		})
	}
	t.Run("the current namespace", func(t *testing.T) {
		code, got, stderr := sluice("", "explain", "--kubeconfig", kubeconfig, "--from", "other", "--to", "db", "--port", "5432")
		if code != exitDone || !strings.HasPrefix(got, "Denied: "+namespace+"/other to "+namespace+"/db") {
			t.Errorf("exit %d: %s%s", code, got, stderr)
		}
	})
	t.Run("KUBECONFIG", func(t *testing.T) {
		t.Setenv("KUBECONFIG", kubeconfig)
		code, got, stderr := sluice("", "lint", "-n", namespace)
		if code != exitFailed || !strings.Contains(got, namespace+"/selects-no-pod (here)\n  warning  spec.podSelector") || !strings.Contains(got, "\n2 policies: ") {
			t.Errorf("exit %d: %s%s", code, got, stderr)
		}
	})
}

// The API server accepts any text as the address of a node. Like agents, commands must omit
// an address that cannot be parsed.
func TestLiveClusterWithAnInvalidAddress(t *testing.T) {
	c := server.Client(t)
	namespace, _ := shop(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n-db"}}
	create(t, c, node)
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "none"}, {Type: corev1.NodeInternalIP, Address: "192.0.2.7"}}
	if err := c.Status().Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	kubeconfig := kubeconfigOf(t, server.Config(), namespace)
	code, got, stderr := sluice("", "explain", "--kubeconfig", kubeconfig, "--from", "192.0.2.7", "--to", "db", "--port", "80")
	if code != exitDone || !strings.Contains(got, "no policy denies traffic from the pod's own node") {
		t.Errorf("exit %d: %s", code, got)
	}
	const want = "note: here: Node n-db: status.addresses[0].address: \"none\" is not an IP address; left out, as agents do\n"
	if stderr != want {
		t.Errorf("notes %q, want %q", stderr, want)
	}
	if code, _, stderr := sluice("", "diff", "--kubeconfig", kubeconfig, "--delete", namespace+"/db", "--connections=false"); code != exitDone || stderr != want {
		t.Errorf("diff: exit %d, notes %q, want %q", code, stderr, want)
	}
}

func TestClusterErrors(t *testing.T) {
	noRights := kubeconfigOf(t, server.User(t, "stranger"), "default")
	gone := kubeconfigOf(t, &rest.Config{Host: "https://127.0.0.1:1"}, "default")
	tests := map[string]struct {
		args []string
		code int
		want []string
	}{
		"no rights": {[]string{"matrix", "--port", "80", "--kubeconfig", noRights}, exitFailed, []string{
			"you may not list networkpolicies.networking.k8s.io, namespaces, nodes, pods",
			"kubectl create clusterrole sluice-reader --verb=list --resource=networkpolicies.networking.k8s.io,namespaces,nodes,pods\n",
		}},
		"no rights on status": {[]string{"status", "--kubeconfig", noRights}, exitFailed, []string{"--resource=enforcers.policy.sluice.dev,nodeenforcers.policy.sluice.dev,policystatuses.policy.sluice.dev"}},
		"no rights on flows": {[]string{"flows", "--kubeconfig", noRights, "--node", "n1"}, exitFailed, []string{
			`you may not watch nodeflows.observe.policy.sluice.dev "n1"`,
			"kubectl create clusterrole sluice-watch-nodeflows-n1 --verb=watch --resource=nodeflows.observe.policy.sluice.dev --resource-name=n1\n",
			"kubectl create clusterrolebinding sluice-watch-nodeflows-n1 --clusterrole=sluice-watch-nodeflows-n1 --user=USER",
		}},
		"no rights on nodes":   {[]string{"flows", "--kubeconfig", noRights}, exitFailed, []string{"you may not list nodeenforcers.policy.sluice.dev"}},
		"no cluster answers":   {[]string{"lint", "--kubeconfig", gone}, exitFailed, []string{"127.0.0.1:1", "connection refused"}},
		"no such kubeconfig":   {[]string{"lint", "--kubeconfig", "/does/not/exist"}, exitWrongInput, []string{"/does/not/exist"}},
		"no such context":      {[]string{"lint", "--kubeconfig", noRights, "--context", "there"}, exitWrongInput, []string{`"there"`}},
		"files and a cluster":  {[]string{"lint", "--kubeconfig", noRights, "-f", "x"}, exitWrongInput, []string{"-f cannot be used with --context"}},
		"a node and a cluster": {[]string{"status", "--kubeconfig", noRights, "--state-dir", "x"}, exitWrongInput, []string{"--state-dir selects this node, so it cannot be used with --node"}},
		"no cluster at all":    {[]string{"status"}, exitWrongInput, []string{"no cluster: ", "kubectl sluice status --help"}},
		"no such node":         {[]string{"flows", "--node", "n9", "--kubeconfig", kubeconfigOf(t, server.Config(), "")}, exitFailed, []string{"node n9: this cluster does not serve observe.policy.sluice.dev"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := sluiceAs("/usr/local/bin/kubectl-sluice", "", test.args...)
			if code != test.code || stdout != "" {
				t.Errorf("exit %d, want %d: %s", code, test.code, stdout)
			}
			for _, want := range test.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("%q lacks %q", stderr, want)
				}
			}
		})
	}
}

// TestClusterStatus checks that sluice status summarizes the objects that the
// operator and the agents write.
func TestClusterStatus(t *testing.T) {
	c := server.Client(t)
	namespace := server.Namespace(t)
	kubeconfig := kubeconfigOf(t, server.Config(), namespace)
	status := func() (int, string) {
		code, stdout, stderr := sluiceAs("kubectl-sluice", "", "status", "--kubeconfig", kubeconfig)
		return code, stdout + stderr
	}
	if code, got := status(); code != exitFailed || !strings.HasPrefix(got, "Cluster here: NOT enforced, because there is no Enforcer.") {
		t.Errorf("without an Enforcer: exit %d: %s", code, got)
	}
	enforcer := &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.EnforcerName}}
	create(t, c, enforcer)
	enforcer.Status = v1alpha1.EnforcerStatus{
		Nodes:      v1alpha1.NodeCounts{Desired: 2, Ready: 2, UpToDate: 2},
		Conditions: conditions(v1alpha1.NewCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "all nodes enforce")),
	}
	updateStatus(t, c, enforcer)
	node := &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}}
	create(t, c, node)
	node.Status.Conditions = conditions(
		v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonEnforcing, "enforces"),
		v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionTrue, v1alpha1.ReasonWatching, "in step"),
	)
	updateStatus(t, c, node)
	policy := &v1alpha1.PolicyStatus{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "db"}}
	create(t, c, policy)
	policy.Status.Conditions = conditions(v1alpha1.NewCondition(v1alpha1.ConditionEnforced, metav1.ConditionTrue, v1alpha1.ReasonEnforcedEverywhere, "by all"))
	updateStatus(t, c, policy)
	want := `Cluster here: enforced on 2 of 2 nodes.
  CONDITION  STATUS  REASON    MESSAGE
  Available  True    AllNodes  all nodes enforce

1 node, no problems

1 policy, no problems
`
	if code, got := status(); code != exitDone || got != want {
		t.Errorf("all well: exit %d: %s", code, got)
	}
	enforcing := node.Status.Conditions
	for reason, problem := range map[v1alpha1.Reason]string{
		v1alpha1.ReasonHoldingDisabled: "1 node, no problems\n",
		v1alpha1.ReasonHoldTimedOut:    "1 node, 1 problem:\n  NODE    PROBLEM       MESSAGE\n  node-a  HoldTimedOut  in no tree\n",
	} {
		node.Status.Conditions = append(slices.Clone(enforcing),
			conditions(v1alpha1.NewCondition(v1alpha1.ConditionHeldPacketsEvaluated, metav1.ConditionFalse, reason, "in no tree"))...)
		updateStatus(t, c, node)
		if code, got := status(); code != exitDone || !strings.Contains(got, problem) {
			t.Errorf("%s: exit %d: %s", reason, code, got)
		}
	}
	node.Status.Conditions = enforcing
	policy.Status.Conditions = conditions(v1alpha1.NewCondition(v1alpha1.ConditionEnforced, metav1.ConditionFalse, v1alpha1.ReasonWaitingForNodes, "node node-a enforces an older version"))
	policy.Status.Findings = []v1alpha1.Finding{{Severity: v1alpha1.SeverityWarning, Check: "no-pod-selected", Field: "spec.podSelector", Message: "selects no pod"}}
	updateStatus(t, c, policy)
	node.Status.Conditions = append(slices.Clone(enforcing),
		conditions(v1alpha1.NewCondition(v1alpha1.ConditionResponding, metav1.ConditionFalse, v1alpha1.ReasonAgentSilent, "silent"))...)
	updateStatus(t, c, node)
	want = `Cluster here: NOT fully enforced; 2 of 2 nodes ready.
  CONDITION  STATUS  REASON    MESSAGE
  Available  True    AllNodes  all nodes enforce

1 node, 1 problem:
  NODE    PROBLEM      MESSAGE
  node-a  AgentSilent  its agent has not reported for more than 1m0s: the failure policy decides about its new pods

1 policy, 2 problems:
  POLICY` + strings.Repeat(" ", len(namespace+"/db")-len("policy")) + `  PROBLEM          MESSAGE
  ` + namespace + `/db  WaitingForNodes  node node-a enforces an older version
  ` + namespace + `/db  no-pod-selected  spec.podSelector: selects no pod
`
	if code, got := status(); code != exitFailed || got != want {
		t.Errorf("exit %d: %s", code, cmp.Diff(want, got))
	}
	code, stdout, _ := sluiceAs("kubectl-sluice", "", "status", "--kubeconfig", kubeconfig, "-o", "json")
	var report querystatus.Cluster
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != exitFailed || report.Enforced || len(report.Policies.Problems) != 2 {
		t.Errorf("exit %d, %v: %s", code, err, stdout)
	}
}

func conditions(list ...metav1.Condition) []metav1.Condition {
	for i := range list {
		list[i].LastTransitionTime = metav1.Now()
	}
	return list
}

func updateStatus(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	if err := c.Status().Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}
