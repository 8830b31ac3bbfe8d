package main

import (
	"bytes"
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// document is the HTML of a page.
type document struct {
	// Heading is the heading of level 1. Content does not contain it.
	Heading  string
	Sections []section
	Content  template.HTML
}

// section is a heading of level 2.
type section struct{ ID, Title string }

// converter converts GitHub Flavored Markdown. The renderer `elements` has the highest priority.
var converter = goldmark.New(
	goldmark.WithExtensions(extension.GFM),
	goldmark.WithParserOptions(parser.WithAutoHeadingID()),
	goldmark.WithRendererOptions(renderer.WithNodeRenderers(util.Prioritized(elements{}, 0))),
)

// convert converts a page to HTML. The function `rewrite` changes the links of the page.
func convert(source []byte, rewrite func(link *ast.Link, source []byte) error) (document, error) {
	root := converter.Parser().Parse(text.NewReader(source), parser.WithContext(parser.NewContext(parser.WithIDs(anchors{}))))
	var page document
	var removed []ast.Node
	err := ast.Walk(root, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := node.(type) {
		case *ast.Link:
			if err := rewrite(n, source); err != nil {
				return ast.WalkStop, err
			}
		case *ast.Heading:
			switch {
			case n.Level == 1 && page.Heading == "":
				page.Heading = plain(n, source)
				removed = append(removed, n)
			case n.Level == 2:
				page.Sections = append(page.Sections, section{idOf(n), plain(n, source)})
			}
		case *ast.HTMLBlock:
			if n.HTMLBlockType != ast.HTMLBlockType2 { // HTMLBlockType2 is a comment.
				return ast.WalkStop, fmt.Errorf("HTML is not supported: %s", n.Lines().Value(source))
			}
			if err := checkComment(n, source); err != nil {
				return ast.WalkStop, err
			}
			removed = append(removed, n)
		case *ast.RawHTML:
			return ast.WalkStop, fmt.Errorf("HTML is not supported: %s", n.Segments.Value(source))
		case *ast.Image:
			return ast.WalkStop, fmt.Errorf("images are not supported: %s", n.Destination)
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		return document{}, err
	}
	for _, node := range removed {
		node.Parent().RemoveChild(node.Parent(), node)
	}
	var out bytes.Buffer
	err = converter.Renderer().Render(&out, source, root)
	page.Content = template.HTML(out.String())
	return page, err
}

// checkComment checks that a comment ends at the end of a line. The parser treats text that follows the
// comment on the same line as a part of the comment.
func checkComment(comment *ast.HTMLBlock, source []byte) error {
	content := string(comment.Lines().Value(source))
	if comment.HasClosure() {
		content += string(comment.ClosureLine.Value(source))
	}
	if _, rest, closed := strings.Cut(content, "-->"); !closed || strings.TrimSpace(rest) != "" {
		return fmt.Errorf("a comment must end at the end of a line: %s", content)
	}
	return nil
}

// plain returns the text of a node without formatting.
func plain(node ast.Node, source []byte) string {
	var out strings.Builder
	for child := node.FirstChild(); child != nil; child = child.NextSibling() {
		if t, ok := child.(*ast.Text); ok {
			out.Write(t.Value(source))
		}
		out.WriteString(plain(child, source))
	}
	return out.String()
}

// anchors creates the IDs of the headings of a page, with the rules of GitHub. The keys are the IDs
// of the page.
type anchors map[string]bool

// Generate returns the ID for the text of a heading.
func (a anchors) Generate(heading []byte, _ ast.NodeKind) []byte {
	var out strings.Builder
	for _, r := range strings.ToLower(strings.TrimSpace(string(heading))) {
		switch {
		case r == ' ':
			out.WriteByte('-')
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			out.WriteRune(r)
		}
	}
	id := out.String()
	for n := 1; a[id]; n++ {
		id = out.String() + "-" + strconv.Itoa(n)
	}
	a[id] = true
	return []byte(id)
}

// Put records an ID that the page defines itself.
func (a anchors) Put(id []byte) { a[string(id)] = true }

func idOf(heading *ast.Heading) string {
	id, _ := heading.AttributeString("id")
	value, _ := id.([]byte)
	return string(value)
}
