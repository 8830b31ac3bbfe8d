package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
)

// minWords is the minimum number of words for a one-line comment to be sampled.
const minWords = 8

// generatorMarker matches a line that contains a marker for controller-gen, such as +optional.
var generatorMarker = regexp.MustCompile(`(?m)^\+\S.*$`)

// comments returns the doc comments of a Go file, and the other comments that are
// long enough.
func comments(name string, content []byte) ([]block, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parsing: %w", err)
	}
	if ast.IsGenerated(file) {
		return nil, nil
	}
	documents := docComments(file)
	var blocks []block
	for _, group := range file.Comments {
		prose := strings.TrimSpace(generatorMarker.ReplaceAllString(group.Text(), ""))
		long := strings.Contains(prose, "\n") || len(strings.Fields(prose)) >= minWords
		if prose != "" && (documents[group] || long) {
			blocks = append(blocks, block{name, files.Position(group.Pos()).Line, prose})
		}
	}
	return blocks, nil
}

// docComments returns the comments that document a package or a declaration.
func docComments(file *ast.File) map[*ast.CommentGroup]bool {
	documents := map[*ast.CommentGroup]bool{file.Doc: true}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			documents[n.Doc] = true
		case *ast.GenDecl:
			documents[n.Doc] = true
		case *ast.TypeSpec:
			documents[n.Doc] = true
		case *ast.ValueSpec:
			documents[n.Doc] = true
		case *ast.Field:
			documents[n.Doc] = true
		}
		return true
	})
	return documents
}
