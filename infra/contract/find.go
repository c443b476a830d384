package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const scripts = "localrun/testdata/script"

// test is one test that shows something.
type test struct {
	name string
	// programs is true when it goes through the built programs.
	programs bool
}

// shown has the tests of each promise.
type shown map[promise][]test

func (s shown) add(p promise, t test) {
	if !slices.Contains(s[p], t) {
		s[p] = append(s[p], t)
	}
}

func (s shown) names(p promise) []string {
	var names []string
	for _, t := range s[p] {
		names = append(names, t.name)
	}
	return names
}

func (s shown) throughPrograms(p promise) bool {
	return slices.ContainsFunc(s[p], func(t test) bool { return t.programs })
}

// find reads the marks of the tree at root. The error names a mark that is not one: an unknown number, or a place where no
// test is.
func find(root string) (shown, error) {
	found := shown{}
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || len(entry.Name()) > 1 && strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		case strings.HasSuffix(name, "_test.go"):
			return found.goTests(tree, name)
		case path.Dir(name) == scripts && path.Ext(name) == ".txtar":
			return found.script(tree, name)
		}
		return nil
	})
	return found, err
}

var (
	inName  = regexp.MustCompile(`^p([0-9]+)-`)
	aMark   = regexp.MustCompile(`^(?:#|//) shows:(.*)$`)
	aNumber = regexp.MustCompile(`^P([0-9]+)$`)
)

func (s shown) script(tree fs.FS, name string) error {
	text, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	t := test{name: path.Base(name), programs: true}
	for rest := t.name; ; {
		m := inName.FindStringSubmatch(rest)
		if m == nil {
			break
		}
		if err := s.show("P"+strings.TrimLeft(m[1], "0"), t, name); err != nil {
			return err
		}
		rest = rest[len(m[0]):]
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "-- ") {
			break // files follow
		}
		if err := s.mark(strings.TrimSpace(line), t, name); err != nil {
			return err
		}
	}
	return nil
}

func (s shown) goTests(tree fs.FS, name string) error {
	text, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	above := map[*ast.Comment]string{} // the test below a comment
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Recv == nil && f.Doc != nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
			for _, c := range f.Doc.List {
				above[c] = f.Name.Name
			}
		}
	}
	dir := path.Dir(name)
	for _, group := range file.Comments {
		for _, c := range group.List {
			if above[c] == "" {
				if aMark.MatchString(c.Text) {
					return fmt.Errorf("%s: %q stands above no test", files.Position(c.Pos()), c.Text)
				}
				continue
			}
			t := test{name: dir + "." + above[c], programs: dir == "localrun"}
			if err := s.mark(c.Text, t, files.Position(c.Pos()).String()); err != nil {
				return err
			}
		}
	}
	return nil
}

// mark takes a comment's line, if it is a mark.
func (s shown) mark(line string, t test, where string) error {
	m := aMark.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	numbers := strings.Fields(m[1])
	if len(numbers) == 0 {
		return fmt.Errorf("%s: %q names no promise", where, line)
	}
	for _, n := range numbers {
		if err := s.show(n, t, where); err != nil {
			return err
		}
	}
	return nil
}

func (s shown) show(number string, t test, where string) error {
	m := aNumber.FindStringSubmatch(number)
	if m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil && n >= 1 && n <= len(promises) {
			s.add(promise(n), t)
			return nil
		}
	}
	return fmt.Errorf("%s: there is no promise %s", where, number)
}
