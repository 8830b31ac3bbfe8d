package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// testName matches the names of functions that `go test` runs by default. It does
// not match benchmarks.
var testName = regexp.MustCompile(`^(Test|Fuzz|Example)($|[^a-z])`)

// tests contains the names of the tests in one package.
type tests struct {
	// The `need` field lists the tests that use at least one package in the list `environments`.
	// The `free` field lists the other tests.
	free, need []string
}

// A graph contains the declarations of one package. For each declaration, it contains the names to
// which the declaration refers. A method counts as part of its type. This is sufficient, because a
// function that calls a method also refers to the type, directly or through other declarations.
type graph struct {
	// environment is true if the package itself is in the list `environments`.
	environment bool
	refers      map[string]map[string]bool
	uses        map[string]bool
	functions   []string
}

func newGraph(environment bool) *graph {
	return &graph{
		environment: environment,
		refers:      make(map[string]map[string]bool),
		uses:        make(map[string]bool),
	}
}

// add adds the declarations in one file to the graph.
func (g *graph) add(name string, content []byte) error {
	file, err := parser.ParseFile(token.NewFileSet(), name, content, parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	scope := scope{test: strings.HasSuffix(name, "_test.go"), imported: environmentNames(file)}
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && scope.test {
				g.functions = append(g.functions, d.Name.Name)
			}
			g.declare(owner(d), d, scope)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				for _, declared := range specNames(spec) {
					g.declare(declared, spec, scope)
				}
			}
		}
	}
	return nil
}

// A scope describes to which declarations the names in one file can refer.
type scope struct {
	// The `test` field is true if the file is a test file. Only other test files can refer to the
	// declarations in a test file.
	test bool
	// imported contains the local names of the imported packages that are in the list
	// `environments`.
	imported map[string]bool
}

// The method `declared` returns the name that the graph uses for a declaration in this file.
func (s scope) declared(name string) string {
	if s.test {
		return "test:" + name
	}
	return name
}

// environmentNames returns the names by which a file refers to packages in the list `environments`.
func environmentNames(file *ast.File) map[string]bool {
	names := make(map[string]bool)
	for _, spec := range file.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil || !slices.Contains(environments, target) {
			continue
		}
		if spec.Name != nil {
			names[spec.Name.Name] = true
		} else {
			names[path.Base(target)] = true
		}
	}
	return names
}

// owner returns the name of a function. For a method, it returns the name of the
// type to which the method belongs.
func owner(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	receiver := d.Recv.List[0].Type
	for {
		switch r := receiver.(type) {
		case *ast.StarExpr:
			receiver = r.X
		case *ast.IndexExpr:
			receiver = r.X
		case *ast.IndexListExpr:
			receiver = r.X
		case *ast.Ident:
			return r.Name
		default:
			return d.Name.Name
		}
	}
}

func specNames(spec ast.Spec) []string {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		return []string{s.Name.Name}
	case *ast.ValueSpec:
		var names []string
		for _, n := range s.Names {
			names = append(names, n.Name)
		}
		return names
	}
	return nil
}

// declare adds a declaration and the names to which the declaration refers.
func (g *graph) declare(name string, declaration ast.Node, s scope) {
	name = s.declared(name)
	if g.refers[name] == nil {
		g.refers[name] = make(map[string]bool)
	}
	ast.Inspect(declaration, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			// Skip calls of kube.Main. When this command runs the tests, kube.Main starts no API
			// server.
			return !isCall(n, "kube", "Main")
		case *ast.SelectorExpr:
			// In the expression x.Name, ignore Name, because it is not a name of this
			// package: it is a field or method of the value x, or is declared in the
			// package x.
			ast.Inspect(n.X, func(n ast.Node) bool {
				if x, ok := n.(*ast.Ident); ok {
					g.refer(name, x.Name, s)
				}
				return true
			})
			return false
		case *ast.Ident:
			g.refer(name, n.Name, s)
		}
		return true
	})
}

// isCall reports whether a call expression calls the named function of a package.
func isCall(call *ast.CallExpr, from, name string) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && x.Name == from && selector.Sel.Name == name
}

func (g *graph) refer(from, to string, s scope) {
	g.refers[from][to] = true
	if s.test {
		g.refers[from][s.declared(to)] = true
	}
	if s.imported[to] {
		g.uses[from] = true
	}
}

// tests returns the package's tests, divided into tests that reach an environment and tests
// that do not. If TestMain reaches an environment, all tests of the package count as tests that
// reach an environment.
func (g *graph) tests() tests {
	all := g.environment || slices.Contains(g.functions, "TestMain") && g.reaches("test:TestMain")
	var found tests
	for _, name := range g.functions {
		switch {
		case name == "TestMain" || !testName.MatchString(name):
		case all || g.reaches("test:"+name):
			found.need = append(found.need, name)
		default:
			found.free = append(found.free, name)
		}
	}
	return found
}

// The method `reaches` reports whether a declaration uses an environment, directly or through
// declarations to which it refers.
func (g *graph) reaches(name string) bool {
	seen := map[string]bool{name: true}
	queue := []string{name}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		if g.uses[next] {
			return true
		}
		for to := range g.refers[next] {
			if !seen[to] {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
	return false
}
