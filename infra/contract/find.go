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

// scripts is the directory of the directories with scripts.
const scripts = "localrun/testdata"

// test is a test that shows a promise.
type test struct {
	name string
	// programs reports whether the test runs the built programs.
	programs bool
}

// shown are the tests of each promise.
type shown map[promise][]test

func (s shown) names(p promise) []string {
	var names []string
	for _, t := range s[p] {
		names = append(names, t.name)
	}
	return names
}

func (s shown) hasProgramTest(p promise) bool {
	return slices.ContainsFunc(s[p], func(t test) bool { return t.programs })
}

// find reads the marks in the tree at root. The error names an invalid mark: it has an unknown number, or is not in the comment
// of a test.
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
			return found.addGoTests(tree, name)
		case path.Dir(path.Dir(name)) == scripts && path.Ext(name) == ".txtar":
			return found.addScript(tree, name)
		}
		return nil
	})
	return found, err
}

var (
	namePattern   = regexp.MustCompile(`^p([0-9]+)-`)
	markPattern   = regexp.MustCompile(`^(?:#|//) shows:(.*)$`)
	numberPattern = regexp.MustCompile(`^P([0-9]+)$`)
)

// addScript adds the promises of a script.
func (s shown) addScript(tree fs.FS, name string) error {
	text, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	t := test{name: path.Base(name), programs: true}
	for rest := t.name; ; {
		m := namePattern.FindStringSubmatch(rest)
		if m == nil {
			break
		}
		if err := s.addNumber("P"+strings.TrimLeft(m[1], "0"), t, name); err != nil {
			return err
		}
		rest = rest[len(m[0]):]
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "-- ") {
			break // files follow
		}
		if err := s.addMark(strings.TrimSpace(line), t, name); err != nil {
			return err
		}
	}
	return nil
}

// addGoTests adds the promises of the tests in a Go file.
func (s shown) addGoTests(tree fs.FS, name string) error {
	text, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	testOf := map[*ast.Comment]string{} // the test below a comment
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Recv == nil && f.Doc != nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
			for _, c := range f.Doc.List {
				testOf[c] = f.Name.Name
			}
		}
	}
	dir := path.Dir(name)
	for _, group := range file.Comments {
		for _, c := range group.List {
			if testOf[c] == "" {
				if markPattern.MatchString(c.Text) {
					return fmt.Errorf("%s: %q is not the comment of a test", files.Position(c.Pos()), c.Text)
				}
				continue
			}
			t := test{name: dir + "." + testOf[c], programs: dir == "localrun"}
			if err := s.addMark(c.Text, t, files.Position(c.Pos()).String()); err != nil {
				return err
			}
		}
	}
	return nil
}

// addMark adds the promises in a comment's line, if it is a mark. position is for the error.
func (s shown) addMark(line string, t test, position string) error {
	m := markPattern.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	numbers := strings.Fields(m[1])
	if len(numbers) == 0 {
		return fmt.Errorf("%s: %q names no promise", position, line)
	}
	for _, n := range numbers {
		if err := s.addNumber(n, t, position); err != nil {
			return err
		}
	}
	return nil
}

// addNumber adds the promise with a number such as P12.
func (s shown) addNumber(number string, t test, position string) error {
	m := numberPattern.FindStringSubmatch(number)
	if m != nil {
		n, err := strconv.Atoi(m[1])
		if p := promise(n); err == nil && promises[p] != "" {
			if !slices.Contains(s[p], t) {
				s[p] = append(s[p], t)
			}
			return nil
		}
	}
	return fmt.Errorf("%s: there is no promise %s", position, number)
}
