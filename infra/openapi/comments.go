package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
)

// comments are those of the types of packages.
type comments struct {
	dir      string // of the module
	packages map[string]map[string]string
	err      error // the first one
}

// of returns the comment of a struct, for the empty name, or of one of its fields or methods.
func (c *comments) of(t reflect.Type, name string) string {
	known, read := c.packages[t.PkgPath()]
	if !read {
		known = c.read(t.PkgPath())
		c.packages[t.PkgPath()] = known
	}
	typeName, _, _ := strings.Cut(t.Name(), "[")
	return known[typeName+"."+name]
}

// read returns the comments of a package, by `Type.` and `Type.Name`.
func (c *comments) read(path string) map[string]string {
	found := map[string]string{}
	source := func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }
	packages, err := parser.ParseDir(token.NewFileSet(), filepath.Join(c.dir, strings.TrimPrefix(path, "left4me/")), source, parser.ParseComments)
	if err != nil && c.err == nil {
		c.err = err
	}
	note := func(name string, groups ...*ast.CommentGroup) {
		for _, g := range groups {
			if text := strings.Join(strings.Fields(g.Text()), " "); text != "" {
				found[name] = text
				return
			}
		}
	}
	for _, p := range packages {
		ast.Inspect(p, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				for _, s := range n.Specs {
					if t, ok := s.(*ast.TypeSpec); ok {
						note(t.Name.Name+".", t.Doc, n.Doc)
						if of, ok := t.Type.(*ast.StructType); ok {
							for _, f := range of.Fields.List {
								for _, name := range f.Names {
									note(t.Name.Name+"."+name.Name, f.Doc, f.Comment)
								}
							}
						}
					}
				}
			case *ast.FuncDecl:
				if n.Recv != nil {
					if t, ok := n.Recv.List[0].Type.(*ast.Ident); ok {
						note(t.Name+"."+n.Name.Name, n.Doc)
					}
				}
				return false
			}
			return true
		})
	}
	return found
}
