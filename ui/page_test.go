package ui_test

import (
	"fmt"
	"os"
	"path/filepath"
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
	return openAfter(t, "", s)
}

// fast is a script that makes the timers of a page expire ten times as fast.
const fast = `
	const timer = window.setTimeout, repeat = window.setInterval;
	window.setTimeout = (f, time) => timer(f, time / 10);
	window.setInterval = (f, time) => repeat(f, time / 10);
`

// openAfter starts a server for a source, and opens its page. Before the scripts of the page, the
// browser runs the given script.
func openAfter(t *testing.T, script string, s source.Source) *browser.Page {
	t.Helper()
	server, err := ui.Start(t.Context(), s, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	b := browser.Open(t, "about:blank", screenshots)
	b.Before(script)
	b.Do(chromedp.Navigate(server.URL()), chromedp.WaitVisible(chromedp.CSS(".cards")))
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
	// Without namespaces, the matrix has no cell that Enter can explain.
	b.Script(`window.failures = 0, addEventListener('error', () => window.failures++)`)
	b.Do(chromedp.Click(chromedp.CSS(".menu summary")), chromedp.Click(chromedp.CSS(".menu button:nth-of-type(2)")))
	b.See(".menu summary", "0 of 3 namespaces")
	b.Do(chromedp.Focus(chromedp.CSS(".matrix")), chromedp.KeyEvent(kb.Enter), chromedp.KeyEvent(kb.ArrowDown))
	if n := b.Script("window.failures"); n != "0" {
		t.Errorf("%s exceptions after Enter in an empty matrix", n)
	}

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
	edit := func(expression string) {
		b.Script("(() => { const area = document.querySelector('textarea'); area.value = " + expression + "; area.dispatchEvent(new Event('input', {bubbles: true})); })()")
	}
	edit("area.value.replace('app: api', 'app: web')")
	b.See(".changes .Lose", "shop/api")
	b.See(".changes .Gain", "shop/web")
	b.See(".changes .Gain", "ingress: policy shop/db allows it (spec.ingress[0] changed)")
	b.See(".changes .Gain a", "shop/db")
	b.Shoot("draft")
	edit(`area.value.replace('app: web', 'app: api') + '---\napiVersion: v1\nkind: Pod\nmetadata: {name: new, namespace: shop}\n'`)
	b.See(".result", "No verdict changes.")
	b.See(".result .hint", "new pods are not compared: shop/new")
	if n := b.Script("document.querySelectorAll('.result h3').length"); n != "0" {
		t.Errorf("%s headings without changes", n)
	}
	edit(`area.value.replace('app: api', 'app: none')`)
	b.See(".changes .Lose", "shop/api")
	b.Wait("there are only headings with changes", "[...document.querySelectorAll('.result h3')].map(h => h.innerText).join() === '✕ Newly denied'")

	b.Visit("#/policies?name=shop/db", ".deletion")
	b.Do(chromedp.Click(chromedp.CSS(".deletion")), chromedp.WaitVisible(chromedp.CSS(".changes li")))
	b.See(".changes .Gain", "shop/db")
	b.Shoot("delete")
}

// TestChange checks that the page shows a change of the objects without a new question, and keeps the
// draft that the user edits.
func TestChange(t *testing.T) {
	manifests, err := os.ReadFile(shop)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "shop.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(string(manifests))
	b := openAfter(t, fast, files(t, file))
	b.Visit("#/map?workload=shop/statefulset/db", ".panel .peers")
	b.See(".panel section:first-of-type h3", "2 of 5")
	question(b, "shop/deployment/web", "shop/statefulset/db", "5432")
	b.See("#answer", "isolated for ingress by shop/db")
	withoutPolicies, _, found := strings.Cut(string(manifests), "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: db\n")
	if !found {
		t.Fatal("no policy db")
	}
	write(withoutPolicies)
	b.See("#answer", "No policy isolates the pod in this direction.")
	b.See(".panel section:first-of-type h3", "5 of 5")
	b.See(".panel", "Ingress: not isolated")

	b.Visit("#/policies?draft=1", "textarea")
	b.Script("(() => { const area = document.querySelector('textarea'); area.value = area.value.replace('default', 'shop'); area.dispatchEvent(new Event('input', {bubbles: true})); })()")
	b.See(".result", "shop/db")
	write(string(manifests))
	b.Visit("#/policies?draft=1", "nav.list li")
	b.See("nav.list", "shop/db")
	if text := b.Script("document.querySelector('textarea').value"); !strings.Contains(text, "namespace: shop") {
		t.Errorf("the draft is lost: %s", text)
	}
}

// TestPolls checks that the page opens the stream of flows before it requests other answers, and that it
// waits for slow answers before it requests them again.
func TestPolls(t *testing.T) {
	b := openAfter(t, fast+`
		window.requests = []; window.running = 0; window.most = 0; window.finished = 0;
		const Stream = window.EventSource, request = window.fetch;
		window.EventSource = class extends Stream { constructor(url) { window.requests.push(url); super(url); } };
		window.fetch = async (url, options) => {
			window.requests.push(url);
			if (url !== '/api/overview') return request(url, options);
			window.most = Math.max(window.most, ++window.running);
			await new Promise((done) => timer(done, 1000));
			window.running--;
			window.finished++;
			return request(url, options);
		};`, files(t, shop))
	b.Wait("the page has polled twice", "window.finished >= 2")
	if got := b.Script("window.requests.slice(0, 3).join(' ')"); got != "/api/session /api/flows /api/overview" {
		t.Errorf("requests %s", got)
	}
	if n := b.Script("window.most"); n != "1" {
		t.Errorf("%s polls at a time", n)
	}
}
