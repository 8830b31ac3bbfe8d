package main

import (
	"fmt"
	"html"
	"regexp"
	"strings"

	"github.com/yuin/goldmark/ast"
	extended "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/util"
)

// elements renders the elements whose HTML differs from that of goldmark.
type elements struct{}

// RegisterFuncs registers the functions that render the elements.
func (e elements) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindHeading, e.heading)
	r.Register(ast.KindCodeBlock, e.code)
	r.Register(ast.KindFencedCodeBlock, e.code)
	r.Register(extended.KindTable, e.table)
}

// heading renders a heading with a link to itself.
func (elements) heading(w util.BufWriter, _ []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	n := node.(*ast.Heading)
	id := html.EscapeString(idOf(n))
	if entering {
		fmt.Fprintf(w, `<h%d id="%s">`, n.Level, id)
	} else {
		fmt.Fprintf(w, ` <a class="anchor" href="#%s" aria-label="Link to this section">#</a></h%d>`+"\n", id, n.Level)
	}
	return ast.WalkContinue, nil
}

// table renders a table in a box that scrolls if the table is wider than the page.
func (elements) table(w util.BufWriter, _ []byte, _ ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		_, _ = w.WriteString("<div class=\"table\"><table>\n")
	} else {
		_, _ = w.WriteString("</table></div>\n")
	}
	return ast.WalkContinue, nil
}

// code renders a block of code.
func (elements) code(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	language := ""
	if block, ok := node.(*ast.FencedCodeBlock); ok {
		language = string(block.Language(source))
	}
	fmt.Fprintf(w, "<pre><code>%s</code></pre>\n", highlight(language, string(node.Lines().Value(source))))
	return ast.WalkSkipChildren, nil
}

// tokens contains, for each language, an expression that matches the parts of a text that have a color.
// The class of the HTML element is the name of the group that matches.
var tokens = map[string]*regexp.Regexp{
	"sh":   regexp.MustCompile(`(?m)(?P<comment>(?:^|\s)#.*)|(?P<string>"(?:[^"\\]|\\.)*"|'[^']*')|(?P<name>\$\w+|\$\{\w+\})`),
	"yaml": regexp.MustCompile(`(?m)(?P<comment>(?:^|\s)#.*)|(?P<name>[\w./-]+:(?:\s|$))|(?P<string>"(?:[^"\\]|\\.)*"|'[^']*')`),
}

// highlight returns the HTML of a text in a language.
func highlight(language, text string) string {
	expression := tokens[language]
	if expression == nil {
		return html.EscapeString(text)
	}
	var out strings.Builder
	end := 0
	for _, match := range expression.FindAllStringSubmatchIndex(text, -1) {
		out.WriteString(html.EscapeString(text[end:match[0]]))
		for group, class := range expression.SubexpNames() {
			if class != "" && match[2*group] >= 0 {
				fmt.Fprintf(&out, `<span class="%s">%s</span>`, class, html.EscapeString(text[match[0]:match[1]]))
			}
		}
		end = match[1]
	}
	out.WriteString(html.EscapeString(text[end:]))
	return out.String()
}
