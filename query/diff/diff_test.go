package diff_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/diff"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/evaluation"
)

const shop = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: db, ports: [{name: postgres, containerPort: 5432}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: backup, namespace: shop}
spec:
  selector: {matchLabels: {app: backup}}
  template:
    metadata: {labels: {app: backup}}
    spec: {containers: [{name: backup, image: backup}]}
---
` + dbPolicy

const beforeIngress = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
`

const dbPolicy = beforeIngress + `  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: postgres}]
`

// compare returns the difference between the shop and the shop with a draft.
func compare(t *testing.T, draft string, deleted ...string) *diff.Diff {
	t.Helper()
	d, err := diff.Of(read(t, shop), read(t, draft), deleted)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestText(t *testing.T) {
	for _, test := range []struct {
		name, draft string
		deleted     []string
		want        string
	}{
		{"another peer", strings.ReplaceAll(dbPolicy, "app: web", "app: backup"), nil, `policy shop/db changed

shop/web -> shop/db loses TCP 5432: policy shop/db no longer allows it (spec.ingress[0] changed)
shop/backup -> shop/db gains TCP 5432: policy shop/db allows it (spec.ingress[0] changed)
`},
		{"another port", strings.ReplaceAll(dbPolicy, "port: postgres", "port: 8000, endPort: 8080"), nil, `policy shop/db changed

shop/web -> shop/db loses TCP 5432: policy shop/db no longer allows it (spec.ingress[0] changed)
shop/web -> shop/db gains TCP 8000-8080: policy shop/db allows it (spec.ingress[0] changed)
`},
		{"a removed rule", beforeIngress + "  ingress: []\n", nil, `policy shop/db changed

shop/web -> shop/db loses TCP 5432: policy shop/db no longer allows it (spec.ingress[0] removed)
`},
		{"an added rule", dbPolicy + `  - from: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}}, {ipBlock: {cidr: "::/0"}}]` + "\n    ports: [{protocol: UDP}]\n", nil, `policy shop/db changed

192.0.2.0/25, IPv6 addresses outside the cluster -> shop/db gains every UDP port: policy shop/db allows it (spec.ingress[1] added)
shop/backup, shop/web -> shop/db gains every UDP port (IPv6 only): policy shop/db allows it (spec.ingress[1] added)
`},
		{"a deleted policy", "", []string{"shop/db"}, `policy shop/db removed

addresses outside the cluster, shop/backup -> shop/db gains every port: policy shop/db no longer isolates the destination
shop/web -> shop/db gains every port except TCP 5432: policy shop/db no longer isolates the destination
`},
		{"a new policy", `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 198.18.0.0/15]}}]}]}
`, nil, `policy shop/web added

shop/web -> 10.0.0.0/8, 198.18.0.0/15, IPv6 addresses outside the cluster, shop/backup loses every port: policy shop/web isolates the source, and no rule allows it
shop/web -> shop/db loses TCP 5432: policy shop/web isolates the source, and no rule allows it
`},
		{"a cluster policy", `
apiVersion: policy.networking.k8s.io/v1beta1
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}
  ingress: [{action: Deny, from: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}], protocols: [{tcp: {destinationPort: {number: 5432}}}]}]
`, nil, `policy guard added

shop/backup, shop/db, shop/web -> shop/backup, shop/web loses TCP 5432: policy guard denies it (spec.ingress[0], policy added)
shop/web -> shop/db loses TCP 5432: policy guard denies it (spec.ingress[0], policy added)
`},
		{"labels of a workload", `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web2}}
    spec: {containers: [{name: web, image: web}]}
`, nil, `shop/web -> shop/db loses TCP 5432: policy shop/db no longer allows it (spec.ingress[0] no longer applies)
`},
		{"nothing", dbPolicy, nil, "No flow gains or loses a port.\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if different := cmp.Diff(test.want, text(t, compare(t, test.draft, test.deleted...))); different != "" {
				t.Errorf("text (-want +got):\n%s", different)
			}
		})
	}
}

// TestLabelsOfControllers replaces a Job. The pod in the new state must keep the labels that
// controllers added, but must not keep a label that only the old pod template contains.
func TestLabelsOfControllers(t *testing.T) {
	const job = `
apiVersion: batch/v1
kind: Job
metadata: {name: batch, namespace: shop}
spec:
  template:
    metadata: {labels: {app: batch%s}}
    spec: {containers: [{name: batch, image: batch}]}
`
	base := `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---` + fmt.Sprintf(job, ", example.com/pod-name: x") + `
---
apiVersion: v1
kind: Pod
metadata:
  name: batch-0
  namespace: shop
  labels: {app: batch, example.com/pod-name: x, batch.kubernetes.io/job-completion-index: "0"}
  ownerReferences: [{apiVersion: batch/v1, kind: Job, name: batch, uid: u, controller: true}]
spec: {containers: [{name: batch, image: batch}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: index, namespace: shop}
spec: {podSelector: {matchLabels: {batch.kubernetes.io/job-completion-index: "0"}}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: name, namespace: shop}
spec: {podSelector: {matchLabels: {example.com/pod-name: x}}, policyTypes: [Egress]}
`
	d, err := diff.Of(read(t, base), read(t, fmt.Sprintf(job, "")), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `shop/batch -> addresses outside the cluster gains every port: policy shop/name no longer isolates the source
`
	if different := cmp.Diff(want, text(t, d)); different != "" {
		t.Errorf("text (-want +got):\n%s", different)
	}
}

func TestJSON(t *testing.T) {
	d := compare(t, strings.ReplaceAll(dbPolicy, "app: web", "app: backup"))
	got, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "apiVersion": "query.sluice.dev/v1alpha1",
  "kind": "Diff",
  "policies": [
    {
      "name": "shop/db",
      "change": "changed"
    }
  ],
  "changes": [
    {
      "effect": "Lose",
      "from": [
        "shop/web"
      ],
      "to": [
        "shop/db"
      ],
      "ports": [
        "TCP 5432"
      ],
      "causes": [
        {
          "direction": "ingress",
          "policies": [
            "shop/db"
          ],
          "field": "spec.ingress[0]",
          "change": "changed",
          "text": "policy shop/db no longer allows it (spec.ingress[0] changed)"
        }
      ]
    },`
	if !strings.HasPrefix(string(got), want) {
		t.Errorf("got:\n%s", got)
	}
}

func TestUnknownPolicy(t *testing.T) {
	_, err := diff.Of(read(t, shop), read(t, ""), []string{"shop/none"})
	var input *query.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), "shop/none") {
		t.Errorf("got %v", err)
	}
}

// TestSetsStayTheSame checks that a program can use the same base for many drafts.
func TestSetsStayTheSame(t *testing.T) {
	base, again := read(t, shop), read(t, shop)
	for range 2 {
		if _, err := diff.Of(base, read(t, strings.ReplaceAll(shop, "app: web", "app: backup")), []string{"shop/db"}); err != nil {
			t.Fatal(err)
		}
	}
	got, want := fmt.Sprintf("%+v", podsOf(base)), fmt.Sprintf("%+v", podsOf(again))
	if got != want || len(base.Policies) != len(again.Policies) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func podsOf(s *inventory.Set) []inventory.Pod { return s.Pods }

// BenchmarkOf compares a cluster of about 400 workloads and 200 policies with the same cluster after
// it got a policy that denies everything in each namespace.
func BenchmarkOf(b *testing.B) {
	o := cluster.NewRealistic(1, cluster.Size{Pods: 1800, Policies: 200, Nodes: 20, DualStack: true}).Objects()
	controller := true
	var drafts strings.Builder
	for _, p := range o.Pods {
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "StatefulSet", Name: p.Name[:strings.LastIndexByte(p.Name, '-')], Controller: &controller}}
	}
	for _, ns := range o.Namespaces {
		fmt.Fprintf(&drafts, "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: %s}\n"+
			"spec: {podSelector: {}, policyTypes: [Ingress, Egress]}\n", ns.Name)
	}
	base, draft := read(b, evaluation.Manifest(b, &o)), read(b, drafts.String())
	for b.Loop() {
		if _, err := diff.Of(base, draft, nil); err != nil {
			b.Fatal(err)
		}
	}
}
