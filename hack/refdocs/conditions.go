package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// conditionsPage returns the page that lists all types and reasons of conditions.
func conditionsPage(project string) (string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(project, "api/v1alpha1/conditions.go"), nil, parser.ParseComments)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString(header("Conditions", `This page lists the types and reasons of all conditions. It is for users and
		administrators who read a status. [kinds.md](../kinds.md) describes which reasons each condition can have.`))
	names := constantNames(file)
	for _, section := range []struct{ title, column, of string }{
		{"Types", "type", "ConditionType"},
		{"Reasons", "reason", "Reason"},
	} {
		fmt.Fprintf(&out, "\n## %s\n", section.title)
		for _, g := range groups(file, section.of) {
			fmt.Fprintf(&out, "\n%s\n| %s | meaning |\n|---|---|\n", wrap(g.intro), section.column)
			for _, c := range g.constants {
				fmt.Fprintf(&out, "| `%s` | %s |\n", c.value, cell(meaning(c, names)))
			}
		}
	}
	return out.String(), nil
}

// constant is a typed string constant.
type constant struct{ name, value, doc string }

// group contains the constants of one declaration.
type group struct {
	intro     string
	constants []constant
}

// groups returns the constants of a type. The last group contains the constants that are declared
// outside of parentheses.
func groups(file *ast.File, of string) []group {
	var out []group
	single := group{intro: "Others:"}
	for _, declaration := range file.Decls {
		d, ok := declaration.(*ast.GenDecl)
		if !ok || d.Tok != token.CONST {
			continue
		}
		g := group{intro: strings.TrimSuffix(strings.TrimSpace(d.Doc.Text()), ".") + ":"}
		for _, spec := range d.Specs {
			if c, ok := constantOf(spec, of); ok {
				g.constants = append(g.constants, c)
			}
		}
		switch {
		case len(g.constants) == 0:
		case d.Lparen.IsValid():
			out = append(out, g)
		default:
			g.constants[0].doc = d.Doc.Text()
			single.constants = append(single.constants, g.constants...)
		}
	}
	if len(single.constants) > 0 {
		out = append(out, single)
	}
	return out
}

// constantOf returns the constant that a specification declares. It reports false if the constant
// does not have the type `of`, or if its value is not a literal.
func constantOf(specification ast.Spec, of string) (constant, bool) {
	spec, ok := specification.(*ast.ValueSpec)
	if !ok || len(spec.Values) != 1 {
		return constant{}, false
	}
	kind, ok := spec.Type.(*ast.Ident)
	if !ok || kind.Name != of {
		return constant{}, false
	}
	literal, ok := spec.Values[0].(*ast.BasicLit)
	if !ok {
		return constant{}, false
	}
	value, err := strconv.Unquote(literal.Value)
	return constant{spec.Names[0].Name, value, spec.Doc.Text()}, err == nil
}

// constantNames returns the values of all types and reasons, by the name of the constant.
func constantNames(file *ast.File) map[string]string {
	names := map[string]string{}
	for _, of := range []string{"ConditionType", "Reason"} {
		for _, g := range groups(file, of) {
			for _, c := range g.constants {
				names[c.name] = c.value
			}
		}
	}
	return names
}

var identifier = regexp.MustCompile(`\b(Condition|Reason)[A-Z]\w*`)

// meaning returns the comment of a constant. In this comment, it replaces the names of constants
// with their values.
func meaning(c constant, names map[string]string) string {
	text := strings.TrimSpace(c.doc)
	if rest, found := strings.CutPrefix(text, c.name+": "); found {
		text = rest
		if word, _, _ := strings.Cut(text, " "); !strings.Contains(word, ".") { // The name of a field is not changed.
			text = strings.ToUpper(text[:1]) + text[1:]
		}
	}
	return identifier.ReplaceAllStringFunc(text, func(name string) string {
		if value, found := names[name]; found {
			return "`" + value + "`"
		}
		return name
	})
}
