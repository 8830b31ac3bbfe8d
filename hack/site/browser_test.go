package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/test/browser"
)

// phone is the width of the viewport in CSS pixels.
const phone = 390

// wide returns the elements that end outside of the viewport, except those in an element that scrolls.
const wide = `(scrolls => [...document.querySelectorAll("body *")]
	.filter(e => e.getBoundingClientRect().right > 390 && !scrolls(scrolls, e.parentElement))
	.map(e => e.outerHTML.slice(0, 80)).join("\n")
)((self, e) => e !== null && (getComputedStyle(e).overflowX !== "visible" || self(self, e.parentElement)))`

// TestPhone opens the first page in a browser with the width of a phone, and follows the link to the
// next page until the last one. No page may be wider than the viewport, or load a file from
// another host.
func TestPhone(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "site")
	if err := write("../..", "main", folder); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(folder)))
	defer server.Close()
	b := browser.Open(t, server.URL, screenshots)
	b.Do(chromedp.EmulateViewport(phone, 844, chromedp.EmulateMobile))
	var got []string
	for {
		path := b.Script("location.pathname")
		got = append(got, path)
		if width := b.Script("document.documentElement.scrollWidth"); width != "390" {
			t.Errorf("%s is %s pixels wide, want 390; these elements are too wide:\n%s", path, width, b.Script(wide))
		}
		if others := b.Script(`performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith(location.origin)).join(", ")`); others != "" {
			t.Errorf("%s loads %s", path, others)
		}
		if position := b.Script(`getComputedStyle(document.querySelector("header")).position`); position != "sticky" {
			t.Errorf("%s does not load the style", path)
		}
		if b.Script(`document.querySelector("main a[rel=next]") !== null`) != "true" {
			break
		}
		b.Follow("main a[rel=next]")
	}
	want := []string{"/"}
	for _, p := range readingOrder(t) {
		want = append(want, "/"+p.Target)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages in the order of the links (-want +got):\n%s", diff)
	}
}
