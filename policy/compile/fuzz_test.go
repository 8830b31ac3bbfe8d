package compile

import (
	"encoding/json"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicenet/sluice/policy/read"
)

func FuzzPolicy(f *testing.F) {
	f.Add(`{"podSelector":{"matchLabels":{"app":"db"}},"ingress":[{"from":[{"podSelector":{}}],"ports":[{"port":"http"}]}]}`)
	f.Add(`{"egress":[{"to":[{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.1.0.0/16"]}}],"ports":[{"port":"http","protocol":"UDP"},{"port":1,"endPort":9}]}]}`)
	f.Add(`{"policyTypes":["Egress"],"egress":[{"to":[{"namespaceSelector":{"matchExpressions":[{"key":"a","operator":"NotIn","values":["b"]}]}}]}]}`)
	f.Fuzz(func(t *testing.T, spec string) {
		p := &networkingv1.NetworkPolicy{}
		p.Namespace, p.Name = "shop", "p"
		if json.Unmarshal([]byte(spec), &p.Spec) != nil {
			return
		}
		s, c := shop()
		c.Delta()
		read, errors := read.NetworkPolicy(p)
		s.UpsertPolicy(read)
		for _, change := range c.Delta().Programs {
			if change.Program != nil && len(change.Program.IsolatedBy) == 0 {
				t.Error("a program that no policy isolates")
			}
		}
		for _, e := range errors {
			if e.Field == "" || e.Message == "" {
				t.Errorf("error %q without field or message", e)
			}
		}
	})
}
