// Package browser opens a page in a headless Chromium, which must be installed, and takes
// screenshots of it.
package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/sluicenet/sluice/test/eventually"
)

// waitTime is the maximum time for which a test waits for the page. It is far above the usual time,
// because the machine can be busy.
const waitTime = 20 * time.Second

// Page is a page in a headless Chromium.
type Page struct {
	t      testing.TB
	ctx    context.Context
	folder string
}

// Open opens an address in a new browser, and closes the browser when the test ends. Shoot stores
// screenshots in the folder.
func Open(t testing.TB, address, folder string) *Page {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.WindowSize(1440, 900))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	// The browser lives as long as the context of the first action.
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatalf("starting Chromium (install it with hack/install-test-deps.sh): %v", err)
	}
	return &Page{t, ctx, folder}
}

// Do runs actions, such as clicks, and fails the test if one of them fails.
func (b *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTime)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.Shoot("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
		b.t.Fatal(err)
	}
}

// Visit opens the part of the page with a hash, and waits until an element is visible.
func (b *Page) Visit(hash, visible chromedp.CSS) {
	b.t.Helper()
	b.Script(fmt.Sprintf("location.hash = %q", hash))
	b.Do(chromedp.WaitVisible(visible))
}

// Follow clicks a link to another page, and waits until the browser has loaded this page.
func (b *Page) Follow(link chromedp.CSS) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTime)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(link)); err != nil {
		b.t.Fatalf("following %s: %v", link, err)
	}
}

// Before runs a script in each page that is opened later, before the scripts of the page.
func (b *Page) Before(script string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
		b.t.Fatal(err)
	}
}

// Script evaluates a JavaScript expression and returns its value as text.
func (b *Page) Script(expression string) string {
	b.t.Helper()
	out, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return out
}

// See waits until an element contains a text.
func (b *Page) See(selector, text string) {
	b.t.Helper()
	contains := fmt.Sprintf("[...document.querySelectorAll(%q)].some(e => e.innerText.includes(%q))", selector, text)
	b.Wait(fmt.Sprintf("%s contains %q", selector, text), contains)
}

// Wait waits until a JavaScript expression is true.
func (b *Page) Wait(what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTime)
	defer cancel()
	err := eventually.Poll(ctx, func(context.Context) error {
		if b.Script(expression) != "true" {
			return fmt.Errorf("not: %s", what)
		}
		return nil
	})
	if err != nil {
		b.Shoot("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
		b.t.Fatal(err)
	}
}

// Shoot stores screenshots of the page in the light and in the dark scheme, and logs their paths.
func (b *Page) Shoot(name string) {
	b.t.Helper()
	if err := os.MkdirAll(b.folder, 0o755); err != nil {
		b.t.Fatal(err)
	}
	for _, scheme := range []string{"light", "dark"} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
			b.t.Fatal(err)
		}
		image, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			b.t.Fatalf("taking a screenshot: %v", err)
		}
		path, err := filepath.Abs(filepath.Join(b.folder, name+"-"+scheme+".png"))
		if err == nil {
			err = os.WriteFile(path, image, 0o644)
		}
		if err != nil {
			b.t.Error(err)
		}
		b.t.Logf("screenshot: %s", path)
	}
}
