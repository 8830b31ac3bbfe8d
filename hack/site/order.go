package main

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// index is the page that lists the other pages in reading order.
const index = "docs/README.md"

// page is a page of the site.
type page struct {
	// source is the path of the Markdown file in the project.
	source string
	// Target is the path of the HTML file in the site.
	Target string
	// Title is the text of links to the page.
	Title string
	// Description is one sentence about the content, or empty.
	Description string
	// Part is the title of the part that contains the page. It is empty for the index.
	Part string
	// Previous and Next are the neighbors in the reading order, or nil.
	Previous, Next *page
}

// part is a part of the documentation.
type part struct {
	Title string
	Pages []*page
}

// entry matches a line of the index that lists a page.
var entry = regexp.MustCompile(`(?m)^\d+\. \[([^\]]+)\]\(([^)#]+)\): (.+)$`)

// projectPart returns the pages outside of docs that the documentation links to. They have no place in
// the reading order.
func projectPart() part {
	p := part{Title: "Project", Pages: []*page{
		{source: "CHANGELOG.md", Target: "project/changelog.html", Title: "Changelog"},
		{source: "CONTRIBUTING.md", Target: "project/contributing.html", Title: "Contributing"},
		{source: "SECURITY.md", Target: "project/security.html", Title: "Reporting a vulnerability"},
	}}
	for _, page := range p.Pages {
		page.Part = p.Title
	}
	return p
}

// readOrder reads the index, and returns it and the parts of the documentation.
func readOrder(project fs.FS) (*page, []part, error) {
	text, err := fs.ReadFile(project, index)
	if err != nil {
		return nil, nil, err
	}
	first := &page{source: index, Target: "index.html", Title: "Documentation"}
	var parts []part
	last := first
	for _, heading := range strings.Split(string(text), "\n## ")[1:] {
		title, content, _ := strings.Cut(heading, "\n")
		p := part{Title: title}
		for _, match := range entry.FindAllStringSubmatch(content, -1) {
			next := &page{
				source: path.Join(path.Dir(index), match[2]), Target: strings.TrimSuffix(match[2], ".md") + ".html",
				Title: match[1], Description: sentence(match[3]), Part: title, Previous: last,
			}
			last.Next, last = next, next
			p.Pages = append(p.Pages, next)
		}
		parts = append(parts, p)
	}
	if first.Next == nil {
		return nil, nil, fmt.Errorf("%s lists no pages", index)
	}
	return first, parts, nil
}

// sentence returns the description of an entry as a sentence without Markdown.
func sentence(description string) string {
	text := strings.ReplaceAll(description, "`", "")
	return strings.ToUpper(text[:1]) + text[1:]
}
