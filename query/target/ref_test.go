package target_test

import (
	"testing"

	"github.com/sluicenet/sluice/query/target"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]target.Ref{
		"web":                       {Namespace: "ns", Name: "web"},
		"shop/web":                  {Namespace: "shop", Name: "web"},
		"pod/web-0":                 {Kind: "Pod", Namespace: "ns", Name: "web-0"},
		"deploy/web":                {Kind: "Deployment", Namespace: "ns", Name: "web"},
		"deployments.v1.apps/web":   {Kind: "Deployment", Namespace: "ns", Name: "web"},
		"rc/web":                    {Kind: "ReplicationController", Namespace: "ns", Name: "web"},
		"shop/cj/backup":            {Kind: "CronJob", Namespace: "shop", Name: "backup"},
		"svc/db":                    {Kind: "Service", Namespace: "ns", Name: "db"},
		"db.shop.svc":               {Kind: "Service", Namespace: "shop", Name: "db"},
		"db.shop.svc.cluster.local": {Kind: "Service", Namespace: "shop", Name: "db"},
		"web.shop.example":          {Namespace: "ns", Name: "web.shop.example"},
	} {
		if got := target.Parse(text, "ns"); got != want {
			t.Errorf("Parse(%q) = %+v, want %+v", text, got, want)
		}
	}
}
