package live_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/inventory"
)

// TestReadServicesAndWorkloads checks that objects that affect no verdict are read, and that a
// missing right is only noted.
func TestReadServicesAndWorkloads(t *testing.T) {
	texts := map[string]string{
		"/api/v1/services": `{"apiVersion":"v1","kind":"ServiceList","items":[{"metadata":{"namespace":"shop","name":"db"},"spec":{"clusterIP":"10.96.0.1","ports":[{"port":80}]}}]}`,
		"/apis/discovery.k8s.io/v1/endpointslices": `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSliceList","items":[
			{"metadata":{"namespace":"shop","name":"db-x","labels":{"kubernetes.io/service-name":"db"}},"endpoints":[{"addresses":["10.0.0.1"]}]}]}`,
		"/apis/apps/v1/deployments": `{"apiVersion":"apps/v1","kind":"DeploymentList","items":[{"metadata":{"namespace":"shop","name":"web"},"spec":{"template":{"metadata":{"labels":{"app":"web"}}}}}]}`,
		"/api/v1/replicationcontrollers": `{"apiVersion":"v1","kind":"ReplicationControllerList","items":[
			{"metadata":{"namespace":"shop","name":"old"},"spec":{"template":{"metadata":{"labels":{"app":"old"}}}}},{"metadata":{"namespace":"shop","name":"empty"}}]}`,
		"/apis/batch/v1/jobs": `{"apiVersion":"batch/v1","kind":"JobList","items":[
			{"metadata":{"namespace":"shop","name":"done"},"status":{"conditions":[{"type":"Complete","status":"True"}]}}]}`,
		"/apis/batch/v1/cronjobs": "",
	}
	set, err := connect(t, texts).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Services) != 1 || set.Services[0].String() != "shop/db" || len(set.Slices) != 1 || set.Slices[0].Service != "db" {
		t.Errorf("Services %v, slices %v", set.Services, set.Slices)
	}
	var added []string
	for _, w := range set.AddTemplates() {
		added = append(added, w.String())
	}
	if diff := cmp.Diff([]string{"Deployment shop/web", "ReplicationController shop/old"}, added); diff != "" {
		t.Errorf("workloads without pods (-want +got):\n%s", diff)
	}
	if notes := strings.Join(set.Notes(), "\n"); !strings.Contains(notes, "you may not list cronjobs.batch in this cluster") {
		t.Errorf("notes %q name no missing right", notes)
	}
}

func TestReadCountsPoliciesOfOtherEngines(t *testing.T) {
	texts := map[string]string{
		"/apis":              `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"apps"},{"name":"cilium.io"}]}`,
		"/apis/cilium.io":    `{"kind":"APIGroup","apiVersion":"v1","name":"cilium.io","versions":[{"groupVersion":"cilium.io/v2","version":"v2"}]}`,
		"/apis/cilium.io/v2": `{"kind":"APIResourceList","apiVersion":"v1","resources":[{"name":"ciliumnetworkpolicies"},{"name":"ciliumclusterwidenetworkpolicies"}]}`,
		"/apis/cilium.io/v2/ciliumnetworkpolicies":            `{"apiVersion":"cilium.io/v2","kind":"CiliumNetworkPolicyList","items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]}`,
		"/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies": "",
	}
	set, err := connect(t, texts).Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []inventory.Skipped{{Kind: "CiliumNetworkPolicy (cilium.io)", Count: 2}, {Kind: "CiliumClusterwideNetworkPolicy (cilium.io)"}}
	if diff := cmp.Diff(want, set.NotEvaluated); diff != "" {
		t.Errorf("not evaluated (-want +got):\n%s", diff)
	}
}
