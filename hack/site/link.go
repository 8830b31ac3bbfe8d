package main

import (
	"io/fs"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/yuin/goldmark/ast"
)

// rewrite changes a link on a page of the site. A link to another page of the site becomes a relative
// link. A link to another file of the project becomes a link to the repository. Links to other hosts
// and to the same page do not change. If the text of a link to a page is the name of a Markdown file,
// the title of the page replaces it.
func (s *site) rewrite(from *page, link *ast.Link, text []byte) error {
	target, err := url.Parse(string(link.Destination))
	if err != nil {
		return err
	}
	if target.IsAbs() || target.Path == "" {
		return nil
	}
	source := path.Join(path.Dir(from.source), target.Path)
	to, found := s.pages[source]
	if !found {
		address, err := s.file(source)
		link.Destination = []byte(address)
		return err
	}
	if target.Path, err = relative(from.Target, to.Target); err != nil {
		return err
	}
	link.Destination = []byte(target.String())
	if name := plain(link, text); strings.HasSuffix(name, ".md") && path.Base(source) == path.Base(name) {
		link.RemoveChildren(link)
		link.AppendChild(link, ast.NewString([]byte(to.Title)))
	}
	return nil
}

// relative returns the path from one file of the site to another.
func relative(from, to string) (string, error) {
	name, err := filepath.Rel(path.Dir(from), to)
	return filepath.ToSlash(name), err
}

// file returns the URL of a file or folder in the repository. It returns an error if it does not exist.
func (s *site) file(name string) (string, error) {
	info, err := fs.Stat(s.project, name)
	if err != nil {
		return "", err
	}
	kind := "blob"
	if info.IsDir() {
		kind = "tree"
	}
	return url.JoinPath(s.Repository, kind, s.ref, name)
}
