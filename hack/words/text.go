package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// A text is a part of a file that people read, such as a comment.
type text struct {
	// line is the line of the file on which the text begins.
	line int
	// content contains the text with the line breaks of the file.
	content string
	// name is true if the text is a declared name, split into words. For example, the text for
	// readFile is "read file".
	name bool
}

// extract returns the texts of a file. It returns no texts if it does not support this kind of
// file.
func extract(project fs.FS, name string) ([]text, error) {
	read := reader(name)
	if read == nil {
		return nil, nil
	}
	content, err := fs.ReadFile(project, name)
	if err != nil {
		return nil, err
	}
	return read(name, content)
}

func reader(name string) func(name string, content []byte) ([]text, error) {
	base := path.Base(name)
	switch path.Ext(name) {
	case ".go":
		return goTexts
	case ".md":
		return markdown
	case ".yaml", ".yml", ".json", ".sh", ".golden", ".nft", ".txt":
		return plain
	}
	if base == "Makefile" || base == "Dockerfile" || name == ".ci/run" || name == "PROJECT" {
		return plain
	}
	return nil
}

func plain(_ string, content []byte) ([]text, error) {
	return []text{{line: 1, content: string(content)}}, nil
}

// inlineCode matches quoted code in Markdown, such as a name in backquotes. Inline code is not
// checked, because its words can come from a library. Blocks of code are checked, because most
// blocks show the output of Sluice.
var inlineCode = regexp.MustCompile("`[^`\n]+`")

func markdown(_ string, content []byte) ([]text, error) {
	return []text{{line: 1, content: inlineCode.ReplaceAllString(string(content), "``")}}, nil
}

// goTexts returns the comments, messages and declared names of a Go file.
func goTexts(name string, content []byte) ([]text, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parsing: %w", err)
	}
	if ast.IsGenerated(file) {
		return nil, nil
	}
	s := &source{files: files}
	s.name(file.Name)
	s.texts = append(s.texts, text{line: 1, content: parts(strings.TrimSuffix(path.Base(name), ".go")), name: true})
	for _, group := range file.Comments {
		s.comment(group)
	}
	ast.Inspect(file, s.node)
	return s.texts, nil
}

// source collects the texts of a Go file.
type source struct {
	files *token.FileSet
	texts []text
}

func (s *source) line(p token.Pos) int { return s.files.Position(p).Line }

var (
	marker    = regexp.MustCompile(`(?m)^\s*(//|/\*|\*/)`)
	directive = regexp.MustCompile(`(?m)^//(go:|nolint|\+).*$`)
)

func (s *source) comment(group *ast.CommentGroup) {
	for _, block := range join(s.files, group.List) {
		content := directive.ReplaceAllString(block.content, "")
		block.content = marker.ReplaceAllString(content, "  ")
		s.texts = append(s.texts, block)
	}
}

// join converts comments to texts. It joins comments on consecutive lines to one text.
func join(files *token.FileSet, comments []*ast.Comment) []text {
	var blocks []text
	end := -1
	for _, c := range comments {
		begin := files.Position(c.Pos()).Line
		if begin == end+1 && len(blocks) > 0 {
			blocks[len(blocks)-1].content += "\n" + c.Text
		} else {
			blocks = append(blocks, text{line: begin, content: c.Text})
		}
		end = files.Position(c.End()).Line
	}
	return blocks
}

// node collects the messages and declared names in a node of the syntax tree.
func (s *source) node(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec:
		return false
	case *ast.FuncDecl:
		s.name(n.Name)
	case *ast.TypeSpec:
		s.name(n.Name)
	case *ast.ValueSpec:
		s.name(n.Names...)
	case *ast.Field:
		s.name(n.Names...)
		if n.Tag != nil {
			s.tag(n.Tag)
		}
	case *ast.AssignStmt:
		s.assigned(n)
	case *ast.RangeStmt:
		s.ranged(n)
	case *ast.BasicLit:
		if n.Kind == token.STRING {
			s.literal(n)
		}
	}
	return true
}

func (s *source) assigned(n *ast.AssignStmt) {
	if n.Tok != token.DEFINE {
		return
	}
	for _, left := range n.Lhs {
		if name, ok := left.(*ast.Ident); ok {
			s.name(name)
		}
	}
}

func (s *source) ranged(n *ast.RangeStmt) {
	for _, left := range []ast.Expr{n.Key, n.Value} {
		if name, ok := left.(*ast.Ident); ok && n.Tok == token.DEFINE {
			s.name(name)
		}
	}
}

func (s *source) name(names ...*ast.Ident) {
	for _, n := range names {
		s.texts = append(s.texts, text{line: s.line(n.Pos()), content: parts(n.Name), name: true})
	}
}

var jsonKey = regexp.MustCompile(`json:"([^",]+)`)

// tag collects the JSON key of a field.
func (s *source) tag(tag *ast.BasicLit) {
	if key := jsonKey.FindStringSubmatch(tag.Value); key != nil {
		s.texts = append(s.texts, text{line: s.line(tag.Pos()), content: parts(key[1]), name: true})
	}
	tag.Value = "``"
}

// literal collects a string literal. A string that contains a space is prose. Any other string
// is a name.
func (s *source) literal(l *ast.BasicLit) {
	t := text{line: s.line(l.Pos()), content: l.Value}
	if l.Value[0] == '"' {
		unquoted, err := strconv.Unquote(l.Value)
		if err != nil {
			return
		}
		t.content = strings.ReplaceAll(unquoted, "\n", " ")
	}
	if !strings.ContainsAny(strings.TrimSpace(t.content), " \n") {
		t.content, t.name = parts(t.content), true
	}
	s.texts = append(s.texts, t)
}

// parts splits a name into words that are separated by spaces: readFile becomes "read file".
func parts(name string) string {
	var words bytes.Buffer
	runes := []rune(name)
	for i, r := range runes {
		boundary := i > 0 && unicode.IsUpper(r) &&
			(unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if boundary {
			words.WriteByte(' ')
		}
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			r = ' '
		}
		words.WriteRune(unicode.ToLower(r))
	}
	return words.String()
}
