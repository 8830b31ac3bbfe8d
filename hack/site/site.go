package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io/fs"
	"regexp"
	"strings"

	"github.com/yuin/goldmark/ast"
)

var (
	//go:embed page.html
	layoutText string
	layout     = template.Must(template.New("page").Parse(layoutText))
	//go:embed style.css
	style []byte
)

// icon is the path of the project's icon.
const icon = "config/manifests/icon.svg"

// site is the input of all pages.
type site struct {
	project fs.FS
	// Repository is the URL of the repository, and ref the branch, tag or commit to which links to
	// files of the repository point.
	Repository, ref string
	Version         string
	Index           *page
	Parts           []part
	// pages contains all pages by their source.
	pages map[string]*page
}

// build returns the files of the site by their paths.
func build(project fs.FS, ref string) (map[string][]byte, error) {
	s, err := newSite(project, ref)
	if err != nil {
		return nil, err
	}
	image, err := fs.ReadFile(project, icon)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"style.css": style, "icon.svg": image}
	for _, p := range s.pages {
		if files[p.Target], err = s.render(p); err != nil {
			return nil, fmt.Errorf("%s: %w", p.source, err)
		}
	}
	return files, nil
}

var module = regexp.MustCompile(`(?m)^module (\S+)$`)

func newSite(project fs.FS, ref string) (*site, error) {
	modules, err := fs.ReadFile(project, "go.mod")
	if err != nil {
		return nil, err
	}
	match := module.FindSubmatch(modules)
	if match == nil {
		return nil, fmt.Errorf("go.mod has no line that matches %s", module)
	}
	version, err := fs.ReadFile(project, "VERSION")
	if err != nil {
		return nil, err
	}
	s := &site{
		project: project, Repository: "https://" + string(match[1]), ref: ref,
		Version: strings.TrimSpace(string(version)), pages: map[string]*page{},
	}
	if s.Index, s.Parts, err = readOrder(project); err != nil {
		return nil, err
	}
	s.Parts = append(s.Parts, projectPart())
	s.pages[s.Index.source] = s.Index
	for _, part := range s.Parts {
		for _, p := range part.Pages {
			s.pages[p.source] = p
		}
	}
	return s, nil
}

// view is the input of the template of a page.
type view struct {
	*site
	Page *page
	document
	// Source is the URL of the Markdown file in the repository.
	Source string
}

// render returns the HTML of a page.
func (s *site) render(p *page) ([]byte, error) {
	text, err := fs.ReadFile(s.project, p.source)
	if err != nil {
		return nil, err
	}
	content, err := convert(text, func(link *ast.Link, source []byte) error { return s.rewrite(p, link, source) })
	if err != nil {
		return nil, err
	}
	source, err := s.file(p.source)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = layout.Execute(&out, view{s, p, content, source})
	return out.Bytes(), err
}

// Link returns the path from one file of the site to another.
func (view) Link(from, to string) (string, error) { return relative(from, to) }
