package ui_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sluicenet/sluice/test/browser"
	"github.com/sluicenet/sluice/ui"
	"github.com/sluicenet/sluice/ui/source"
)

const shop = "testdata/shop.yaml"

// screenshots is the folder for the screenshots of each view. Git ignores it.
const screenshots = "../dist/screenshots"

// open starts a server for a source, and opens its page.
func open(t *testing.T, s source.Source) *browser.Page {
	t.Helper()
	server, err := ui.Start(t.Context(), s, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	b := browser.Open(t, server.URL(), screenshots)
	b.Do(chromedp.WaitVisible(chromedp.CSS(".cards")))
	return b
}

// question fills in the form at the top of the page.
func question(b *browser.Page, from, to, port string) {
	for name, value := range map[string]string{"from": from, "to": to, "port": port} {
		field := chromedp.CSS(fmt.Sprintf("form input[name=%s]", name))
		b.Do(chromedp.Clear(field), chromedp.SendKeys(field, value))
	}
	b.Do(chromedp.Click(chromedp.CSS(`form button[type=submit]`)), chromedp.WaitVisible(chromedp.CSS("#answer .answer")))
}

func files(t *testing.T, paths ...string) *source.Files {
	t.Helper()
	f, err := source.NewFiles(paths, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestViews opens each view for a small set of manifests, and follows the questions of a new user.
func TestViews(t *testing.T) {
	b := open(t, files(t, shop))
	b.See(".card", "Policies with problems")
	b.Shoot("overview")

	b.Visit("#/map", ".graph canvas")
	b.Shoot("map")
	b.Visit("#/map?workload=shop/statefulset/db", ".panel .peers")
	b.See(".panel", "shop/deployment/api")
	b.Shoot("map-selected")
	b.Visit("#/map?as=matrix", ".matrix canvas")
	b.Do(chromedp.Focus(chromedp.CSS(".matrix")), chromedp.KeyEvent(kb.ArrowRight))
	b.Shoot("matrix")
	b.Do(chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(chromedp.CSS("#answer")))
	b.Do(chromedp.KeyEvent(kb.Escape), chromedp.WaitNotPresent(chromedp.CSS("#answer")))

	b.Visit("#/policies", "nav.list li")
	b.Visit("#/policies?name=shop/db&rule=ingress.0", ".yaml .marked")
	b.See(".yaml .marked", "app: api")
	b.Shoot("policy")
}

// TestWhyDenied requests the reason why a flow is denied, and a policy that allows it.
func TestWhyDenied(t *testing.T) {
	b := open(t, files(t, shop))
	question(b, "shop/deployment/web", "shop/statefulset/db", "5432")
	b.See("#answer", "isolated for ingress by shop/db")
	b.See("#answer .near", "the port matches, but not the peer")
	b.See("#answer .yaml", "app: api")
	b.Do(chromedp.Click(chromedp.CSS(".allow-button")), chromedp.WaitVisible(chromedp.CSS(".proposal .yaml")))
	b.See(".proposal", "name: allow-web-to-db-ingress")
	b.Shoot("why")
}

// TestDraft edits a draft of a policy, and requests the effect of deleting a policy.
func TestDraft(t *testing.T) {
	b := open(t, files(t, shop))
	b.Visit("#/policies?name=shop/db&draft=1", "textarea")
	b.See(".result", "No verdict changes.")
	b.Script(`(() => {
		const area = document.querySelector('textarea');
		area.value = area.value.replace('app: api', 'app: web');
		area.dispatchEvent(new Event('input', {bubbles: true}));
	})()`)
	b.See(".changes .Lose", "shop/api")
	b.See(".changes .Gain", "shop/web")
	b.Shoot("draft")

	b.Visit("#/policies?name=shop/db", ".deletion")
	b.Do(chromedp.Click(chromedp.CSS(".deletion")), chromedp.WaitVisible(chromedp.CSS(".changes li")))
	b.See(".changes .Gain", "shop/db")
	b.Shoot("delete")
}
