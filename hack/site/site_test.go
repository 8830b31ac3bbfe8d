package main

import (
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// screenshots is the folder for screenshots. Git ignores it.
const screenshots = "../../dist/screenshots"

// repository is the beginning of links to files of the repository.
const repository = "https://github.com/sluicenet/sluice/"

// built returns the files of the site of the project.
func built(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := build(os.DirFS("../.."), "main")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// readingOrder returns the pages that docs/README.md lists.
func readingOrder(t *testing.T) []*page {
	t.Helper()
	_, parts, err := readOrder(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	var pages []*page
	for _, part := range parts {
		pages = append(pages, part.Pages...)
	}
	return pages
}

var (
	idAttribute   = regexp.MustCompile(` id="([^"]*)"`)
	hrefAttribute = regexp.MustCompile(` href="([^"]*)"`)
)

// attributes returns the values of an attribute in an HTML page.
func attributes(expression *regexp.Regexp, content []byte) []string {
	var values []string
	for _, match := range expression.FindAllSubmatch(content, -1) {
		values = append(values, strings.ReplaceAll(string(match[1]), "&amp;", "&"))
	}
	return values
}

// TestLinks checks that the target of each link exists: the file, and the element to which an anchor
// points. It also checks that no two elements of a page have the same ID.
func TestLinks(t *testing.T) {
	files := built(t)
	anchors := map[string][]string{}
	for name, content := range files {
		anchors[name] = attributes(idAttribute, content)
		if unique := slices.Compact(slices.Sorted(slices.Values(anchors[name]))); len(unique) != len(anchors[name]) {
			t.Errorf("%s has two elements with the same ID", name)
		}
	}
	for name, content := range files {
		for _, link := range attributes(hrefAttribute, content) {
			target, err := url.Parse(link)
			if err != nil {
				t.Fatal(err)
			}
			if target.IsAbs() {
				checkSource(t, name, target)
				continue
			}
			file := name
			if target.Path != "" {
				file = path.Join(path.Dir(name), target.Path)
			}
			if _, exists := files[file]; !exists {
				t.Errorf("%s links to %s, which does not exist", name, link)
			}
			if target.Fragment != "" && !slices.Contains(anchors[file], target.Fragment) {
				t.Errorf("%s links to %s, but %s has no such anchor", name, link, file)
			}
		}
	}
}

// checkSource checks that the target of a link to a file of the repository exists.
func checkSource(t *testing.T, name string, target *url.URL) {
	t.Helper()
	for kind, folder := range map[string]bool{"blob/main/": false, "tree/main/": true} {
		rest, found := strings.CutPrefix(target.String(), repository+kind)
		if !found {
			continue
		}
		file, _, _ := strings.Cut(rest, "#")
		if info, err := os.Stat(path.Join("../..", file)); err != nil || info.IsDir() != folder {
			t.Errorf("%s links to %s: %v", name, target, err)
		}
	}
}

// TestOrder checks that each page that docs/README.md lists has a page, that the navigation of each
// page lists them in this order, and that each page links to its neighbors.
func TestOrder(t *testing.T) {
	files := built(t)
	text, err := os.ReadFile("../../docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, match := range regexp.MustCompile(`(?m)^\d+\. \[[^\]]+\]\(([^)]+)\.md\): `).FindAllStringSubmatch(string(text), -1) {
		want = append(want, match[1]+".html")
	}
	if len(want) < 20 {
		t.Fatalf("docs/README.md lists only %d pages", len(want))
	}
	order := append([]string{"index.html"}, want...)
	for i, name := range order {
		content := string(files[name])
		_, navigation, _ := strings.Cut(content, `<nav id="pages"`)
		var got []string
		for _, link := range attributes(hrefAttribute, []byte(navigation)) {
			if target := path.Join(path.Dir(name), link); target != "index.html" && !strings.HasPrefix(target, "project/") {
				got = append(got, target)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("navigation of %s (-want +got):\n%s", name, diff)
		}
		if strings.Count(navigation, `aria-current="page"`) != 1 {
			t.Errorf("the navigation of %s does not mark the page", name)
		}
		neighbors := map[string]string{}
		for _, match := range regexp.MustCompile(`<a rel="(\w+)" href="([^"]+)"`).FindAllStringSubmatch(content, -1) {
			neighbors[match[1]] = path.Join(path.Dir(name), match[2])
		}
		expected := map[string]string{}
		if i > 0 {
			expected["prev"] = order[i-1]
		}
		if i+1 < len(order) {
			expected["next"] = order[i+1]
		}
		if diff := cmp.Diff(expected, neighbors); diff != "" {
			t.Errorf("neighbors of %s (-want +got):\n%s", name, diff)
		}
	}
}

// loads matches an element or a property that makes a browser load a file, with the address of the
// file, and an element that contains a script.
var loads = regexp.MustCompile(`(?i)<(?:link|img|script|iframe|object|embed|source|video|audio)\b[^>]*?(?:(?:src|href|data)="([^"]*)"[^>]*)?>|url\(([^)]*)\)|@import\s+(\S+)`)

// TestNoOtherHosts checks that no page loads a file from another host, and that no page contains a
// script.
func TestNoOtherHosts(t *testing.T) {
	for name, content := range built(t) {
		for _, match := range loads.FindAllSubmatch(content, -1) {
			address := string(slices.Concat(match[1], match[2], match[3]))
			if strings.Contains(strings.ToLower(string(match[0])), "<script") || strings.Contains(address, "//") || strings.HasPrefix(address, "data:") {
				t.Errorf("%s contains %s", name, match[0])
			}
		}
	}
}

// TestReproducible builds the site twice, and compares the files.
func TestReproducible(t *testing.T) {
	if diff := cmp.Diff(built(t), built(t)); diff != "" {
		t.Error(diff)
	}
}

// small returns the files of a small project with a page docs/a.md.
func small(text string) fs.FS {
	files := fstest.MapFS{}
	for name, content := range map[string]string{
		"go.mod": "module example.com/valve\n", "VERSION": "1.2.3\n", icon: "<svg/>", "docs/README.md": "# Index\n\n## Start\n\n1. [A](a.md): what `a` is.\n",
		"docs/a.md": text, "CHANGELOG.md": "# Changes\n", "CONTRIBUTING.md": "# Contributing\n", "SECURITY.md": "# Security\n", "cmd/valve/main.go": "",
	} {
		files[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return files
}

// TestErrors checks that a page with an error is not published.
func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"[file](none.go)\n":           "docs/a.md: open docs/none.go: file does not exist",
		"![image](a.png)\n":           "docs/a.md: images are not supported: a.png",
		"a <name> that disappears":    "docs/a.md: HTML is not supported: <name>",
		"<details>\ntext\n":           "docs/a.md: HTML is not supported: <details>\ntext\n",
		"<!-- A comment. -->\n\nok":   "",
		"<!-- Two\nlines. --> \nok":   "",
		"<!-- One line. --> lost\n":   "docs/a.md: a comment must end at the end of a line: <!-- One line. --> lost\n",
		"<!-- Two\nlines. --> lost\n": "docs/a.md: a comment must end at the end of a line: <!-- Two\nlines. --> lost\n",
		"<!-- No end.\n\nlost\n":      "docs/a.md: a comment must end at the end of a line: <!-- No end.\n\nlost\n",
	} {
		_, err := build(small(text), "main")
		if got := errorText(err); got != want {
			t.Errorf("%q: error %q, want %q", text, got, want)
		}
	}
	if err := write("../..", "main", t.TempDir()); !os.IsExist(err) {
		t.Errorf("error %v for a folder that exists", err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestConvert checks the HTML of the elements of a page.
func TestConvert(t *testing.T) {
	for text, want := range map[string]string{
		"## Chain `a`\n\n## Chain a\n": `<h2 id="chain-a">Chain <code>a</code> <a class="anchor" href="#chain-a" aria-label="Link to this section">#</a></h2>` + "\n" +
			`<h2 id="chain-a-1">Chain a <a class="anchor" href="#chain-a-1" aria-label="Link to this section">#</a></h2>` + "\n",
		"[i](README.md#start) [SECURITY.md](../SECURITY.md) [CHANGELOG.md](README.md) [f](../cmd/valve/main.go) [d](../cmd) [e](https://example.org/?a=1&b=2) [s](#here) [Y.md](../SECURITY.md)": `<p><a href="index.html#start">i</a> ` +
			`<a href="project/security.html">Reporting a vulnerability</a> <a href="index.html">CHANGELOG.md</a> <a href="https://example.com/valve/blob/v1/cmd/valve/main.go">f</a> <a href="https://example.com/valve/tree/v1/cmd">d</a> ` +
			`<a href="https://example.org/?a=1&amp;b=2">e</a> <a href="#here">s</a> <a href="project/security.html">Y.md</a></p>` + "\n",
		"| a |\n|---|\n| b |\n": "<div class=\"table\"><table>\n<thead>\n<tr>\n<th>a</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n<td>b</td>\n</tr>\n</tbody>\n</table></div>\n",
		"    a <b>\n":           "<pre><code>a &lt;b&gt;\n</code></pre>\n",
		"```sh\n# a\nb#c \"d # e\" $F 'g' <h>\n```\n": "<pre><code><span class=\"comment\"># a</span>\nb#c <span class=\"string\">&#34;d # e&#34;</span> <span class=\"name\">$F</span> " +
			"<span class=\"string\">&#39;g&#39;</span> &lt;h&gt;\n</code></pre>\n",
		"```yaml\na: {b: c} # d\ne: \"f: g\"\nh: ::/0\n```\n": "<pre><code><span class=\"name\">a: </span>{<span class=\"name\">b: </span>c}<span class=\"comment\"> # d</span>\n" +
			"<span class=\"name\">e: </span><span class=\"string\">&#34;f: g&#34;</span>\n<span class=\"name\">h: </span>::/0\n</code></pre>\n",
	} {
		files, err := build(small(text), "v1")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(files["a.html"]), "<article>\n")
		got, _, _ := strings.Cut(rest, "</article>")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}
