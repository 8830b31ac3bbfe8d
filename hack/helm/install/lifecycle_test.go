package install_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/eventually"
)

const (
	updateJob    = "sluice-helm-update-crds"
	uninstallJob = "sluice-helm-uninstall"
	versionLabel = "app.kubernetes.io/version"
)

// TestInstallUpgradeUninstall installs the chart, upgrades it from an older version of the CRDs, and
// uninstalls it. The first call of `helm uninstall` fails, because a node is not clean.
func TestInstallUpgradeUninstall(t *testing.T) {
	c, jobs := newCluster(t), startJobs(t)
	install(t, "enforcer: {spec: {failurePolicy: Open}}\nuninstall: {timeout: 3s}")
	c.wantJobs(jobs)
	if got := c.enforcer().Spec.FailurePolicy; got != v1alpha1.FailOpen {
		t.Errorf("the failure policy is %s, want Open", got)
	}
	stop := startOperator(t)
	c.daemonSet("sluice")

	c.makeDefinitionOlder()
	must(t, upgrade(t, "enforcer: {spec: {denyAction: Reject}}\nuninstall: {timeout: 3s}"))
	c.wantJobs(jobs, updateJob)
	if properties := c.properties(); properties["denyAction"] == nil {
		t.Error("the upgrade did not update the CustomResourceDefinition")
	}
	if spec := c.enforcer().Spec; spec.DenyAction != v1alpha1.DenyReject || spec.FailurePolicy != v1alpha1.FailClosed {
		t.Errorf("after the upgrade, the spec is %+v", spec)
	}

	must(t, upgrade(t, "enforcer: {create: false}\nuninstall: {timeout: 3s}"))
	c.wantJobs(jobs)
	if c.enforcer().DeletionTimestamp != nil {
		t.Error("the upgrade to enforcer.create=false deleted the Enforcer")
	}

	c.createNode("node-a")
	c.enforce("node-a")
	// The operator may need more time than the timeout of the hook to begin the uninstallation. So
	// wait until it has begun, and then run the hook.
	must(t, c.Delete(t.Context(), c.enforcer()))
	eventually.NoError(t, func() error {
		progressing := meta.FindStatusCondition(c.enforcer().Status.Conditions, string(v1alpha1.ConditionProgressing))
		if progressing == nil || !strings.Contains(progressing.Message, "node-a: no proof yet") {
			return fmt.Errorf("the operator does not wait for node-a: %+v", progressing)
		}
		return nil
	})
	if err := uninstall(t, true); err == nil {
		t.Error("no error although node-a is not clean")
	}
	c.wantJobs(jobs, uninstallJob)
	for _, text := range []string{"after 3s, these nodes may still have rules: node-a", "node-a: no proof yet"} {
		if output := jobs.outputOf(uninstallJob); !strings.Contains(output, text) {
			t.Errorf("the output of the hook lacks %q:\n%s", text, output)
		}
	}
	must(t, c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "sluice-operator"}, &appsv1.Deployment{}))

	c.prove("node-a")
	must(t, uninstall(t, true))
	c.wantJobs(jobs, uninstallJob)
	stop()
	c.wantLeft()
}

// TestUninstallWithoutHooks checks that `helm uninstall --no-hooks` does not delete the Enforcer.
// The API server must then reject the deletion of the CRDs and of the namespace, and a second
// installation must be able to remove the rules.
func TestUninstallWithoutHooks(t *testing.T) {
	c, jobs := newCluster(t), startJobs(t)
	install(t, "")
	stop := startOperator(t)
	c.daemonSet("sluice")
	must(t, uninstall(t, false))
	stop()
	if c.enforcer().DeletionTimestamp != nil {
		t.Error("the Enforcer is deleted without an operator")
	}
	c.daemonSet("sluice")
	definition := c.definition("enforcers")
	for _, object := range []client.Object{definition, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}} {
		// The API server needs some time until the admission policy is effective.
		eventually.NoError(t, func() error {
			if err := c.Delete(t.Context(), object, client.DryRunAll); !apierrors.IsForbidden(err) {
				return fmt.Errorf("the API server does not forbid the deletion of %s: %w", object.GetName(), err)
			}
			return nil
		})
	}
	install(t, "")
	startOperator(t)
	must(t, uninstall(t, true))
	c.wantJobs(jobs, uninstallJob)
	c.wantLeft()
}

// TestValuesOfHooks checks that values such as tolerations also apply to the pods of the hooks. It
// also checks that the hooks have the right to use the host network on OpenShift.
func TestValuesOfHooks(t *testing.T) {
	c, jobs := newCluster(t), startJobs(t)
	install(t, "enforcer: {create: false}")
	must(t, uninstall(t, true))
	c.wantJobs(jobs, uninstallJob)
	c.makeDefinitionOlder()
	c.define("security.openshift.io", "SecurityContextConstraints", "securitycontextconstraints", "Cluster")
	objects := hooks(t, `
image: {repository: registry.example/sluice, tag: v9}
imagePullSecrets: [{name: registry}]
apiServer: {host: api.example.com}
annotations: {example.com/contact: network}
operator: {nodeSelector: {example.com/pool: system}, tolerations: [{operator: Exists}]}
openshift: {enabled: true}
enforcer: {create: false}
uninstall: {timeout: 7m}`)
	for job, argument := range map[string]string{updateJob: "--update-crds", uninstallJob: "--uninstall-timeout=7m"} {
		var got []string
		for _, object := range objects {
			if object.GetName() != job {
				continue
			}
			got = append(got, object.GetKind())
			text, err := sigsyaml.Marshal(object)
			must(t, err)
			wants := map[string][]string{
				"Job": {
					argument, "image: registry.example/sluice:v9", "name: registry", "value: api.example.com",
					"example.com/pool: system", "operator: Exists",
				},
				"Role": {"hostnetwork-v2"},
			}[object.GetKind()]
			for _, want := range append(wants, "example.com/contact: network") {
				if !strings.Contains(string(text), want) {
					t.Errorf("%s %s lacks %q:\n%s", object.GetKind(), job, want, text)
				}
			}
		}
		slices.Sort(got)
		if want := []string{"ClusterRole", "ClusterRoleBinding", "Job", "Role", "RoleBinding", "ServiceAccount"}; !slices.Equal(got, want) {
			t.Errorf("%s consists of %v, want %v", job, got, want)
		}
	}
	// Helm 4 updates existing CustomResourceDefinitions during an installation, but Helm 3 does not.
	install(t, "enforcer: {create: false}")
	c.wantJobs(jobs)
	must(t, uninstall(t, true))
	c.wantJobs(jobs, uninstallJob)
	c.wantLeft()
}

// wantJobs checks which hooks ran since its last call, and that Helm deleted the objects of the
// hooks that succeeded.
func (c *cluster) wantJobs(jobs *jobs, names ...string) {
	c.t.Helper()
	if got := jobs.take(); !slices.Equal(got, names) {
		c.t.Errorf("the hooks %v ran, want %v\n%s", got, names, jobs.outputOf(updateJob))
	}
	var accounts corev1.ServiceAccountList
	must(c.t, c.List(c.t.Context(), &accounts, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/component": "hook"}))
	var left batchv1.JobList
	must(c.t, c.List(c.t.Context(), &left, client.InNamespace(namespace)))
	for i := range left.Items {
		if left.Items[i].Status.Succeeded > 0 {
			c.t.Errorf("the Job %s still exists", left.Items[i].Name)
		}
	}
	if len(left.Items) == 0 && len(accounts.Items) > 0 {
		c.t.Errorf("the service accounts of hooks still exist: %v", accounts.Items)
	}
}

// definition returns the CustomResourceDefinition of a kind.
func (c *cluster) definition(plural string) *unstructured.Unstructured {
	c.t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	must(c.t, c.Get(c.t.Context(), client.ObjectKey{Name: plural + ".policy.sluice.dev"}, object))
	return object
}

// properties returns the fields of the Enforcer's spec according to its CustomResourceDefinition.
func (c *cluster) properties() map[string]any {
	c.t.Helper()
	return propertiesOf(c.definition("enforcers"))
}

func propertiesOf(definition *unstructured.Unstructured) map[string]any {
	version := definition.Object["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)
	schema := version["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
	return schema["properties"].(map[string]any)["spec"].(map[string]any)["properties"].(map[string]any)
}

// makeDefinitionOlder replaces the CustomResourceDefinition of the kind Enforcer with one of an older
// version, which lacks the field denyAction.
func (c *cluster) makeDefinitionOlder() {
	c.t.Helper()
	definition := c.definition("enforcers")
	older := &unstructured.Unstructured{Object: map[string]any{"spec": definition.Object["spec"]}}
	older.SetGroupVersionKind(definition.GroupVersionKind())
	older.SetName(definition.GetName())
	older.SetLabels(map[string]string{"app.kubernetes.io/part-of": "sluice", versionLabel: "0.0.1"})
	delete(propertiesOf(older), "denyAction")
	apply := client.ApplyConfigurationFromUnstructured(older)
	must(c.t, c.Apply(c.t.Context(), apply, client.FieldOwner(fieldManager), client.ForceOwnership))
}

// wantLeft checks that the CustomResourceDefinitions and the namespace are the only objects of
// Sluice that still exist.
func (c *cluster) wantLeft() {
	c.t.Helper()
	c.wantNone(&v1alpha1.EnforcerList{}, &v1alpha1.NodeEnforcerList{}, &rbacv1.ClusterRoleList{}, &rbacv1.ClusterRoleBindingList{}, &appsv1.DeploymentList{},
		&appsv1.DaemonSetList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{}, &batchv1.JobList{})
	for _, plural := range []string{"enforcers", "nodeenforcers", "policystatuses", "clusterpolicystatuses"} {
		want := map[string]string{"app.kubernetes.io/part-of": "sluice", versionLabel: version(c.t)}
		if diff := cmp.Diff(want, c.definition(plural).GetLabels()); diff != "" {
			c.t.Errorf("labels of %s:\n%s", plural, diff)
		}
	}
}

func (c *cluster) wantNone(lists ...client.ObjectList) {
	c.t.Helper()
	for _, list := range lists {
		must(c.t, c.List(c.t.Context(), list))
		objects, err := meta.ExtractList(list)
		must(c.t, err)
		for _, item := range objects {
			object := item.(client.Object)
			if strings.HasPrefix(object.GetName(), "sluice") || object.GetName() == v1alpha1.EnforcerName && object.GetNamespace() == "" {
				c.t.Errorf("%T %s still exists", object, object.GetName())
			}
		}
	}
}
