package linkfarm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const cacheDir = "/srv/left4me/workshop_cache"

// overlay is an empty overlay directory.
func overlay(t testing.TB) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// links are those with the names to the files of the same names in the cache.
func links(names ...string) []Link {
	all := make([]Link, len(names))
	for n, name := range names {
		all[n] = Link{Name: name, Target: cacheDir + "/" + name}
	}
	return all
}

// build observes, plans and applies, as an overlay's build does.
func build(ctx context.Context, root *os.Root, wanted []string) (Result, error) {
	seen, err := Observe(root)
	if err != nil {
		return Result{}, err
	}
	changes, err := Plan(links(wanted...), seen, cacheDir)
	if err != nil {
		return Result{}, err
	}
	return Apply(ctx, root, changes)
}

// tree returns everything below dir: the targets of links and the contents of files.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		var what string
		switch {
		case d.IsDir():
			what = "directory"
		case d.Type() == fs.ModeSymlink:
			what, err = os.Readlink(path)
			what = "-> " + what
		default:
			content, rerr := os.ReadFile(path)
			what, err = "file "+string(content), rerr
		}
		all[strings.TrimPrefix(path, dir+"/")] = what
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// fixture is a folder with random files and links.
type fixture struct {
	root   *os.Root
	wanted []string
	// foreign must stay, ours may be removed; by path below the overlay.
	foreign map[string]string
	ours    int
	// conflicts are the wanted names that foreign files have.
	conflicts []string
}

// newFixture makes a random one. It has few names, so that they often coincide; with conflicts, foreign files may have wanted names.
func newFixture(t testing.TB, seed uint64, conflicts bool) *fixture {
	r := rand.New(rand.NewPCG(seed, 0))
	w := &fixture{root: overlay(t), foreign: map[string]string{}}
	must(t, w.root.MkdirAll(Dir, 0o755))
	var names []string
	for i := range 12 {
		names = append(names, fmt.Sprintf("%d.vpk", i))
	}
	for _, name := range names {
		if r.IntN(2) == 0 {
			w.wanted = append(w.wanted, name)
		}
	}
	names = append(names, "1.VPK", "Map.vpk", "map.vpk", ".1.vpk.LEFTOVER", ".hidden", "readme.txt", "ünïcode.vpk", "new\nline.vpk")
	for _, name := range names {
		path := Dir + "/" + name
		wanted := slices.Contains(w.wanted, name)
		switch kind := r.IntN(12); kind {
		case 0, 1:
			must(t, w.root.Symlink(cacheDir+"/"+name, path))
			w.ours++
		case 2:
			must(t, w.root.Symlink(cacheDir+"/old.vpk", path))
			w.ours++
		case 3:
			must(t, w.root.Symlink(cacheDir+"/../workshop_cache//"+name, path))
			w.ours++
		case 4, 5, 6, 7:
			if wanted && !conflicts {
				continue
			}
			switch kind {
			case 4:
				must(t, w.root.WriteFile(path, []byte("precious"), 0o644))
			case 5:
				must(t, w.root.MkdirAll(path+"/inside", 0o755))
			case 6:
				foreign := []string{"/etc/passwd", "../../other", cacheDir, cacheDir + "-old/1.vpk", cacheDir + "/../1.vpk", "1.vpk", "/"}
				must(t, w.root.Symlink(foreign[r.IntN(len(foreign))], path))
			case 7:
				relative := strings.Repeat("../", 9) + cacheDir[1:] + "/" + name
				must(t, w.root.Symlink(relative, path))
			}
			for p, what := range tree(t, w.root.Name()) {
				if p == path || strings.HasPrefix(p, path+"/") {
					w.foreign[p] = what
				}
			}
			if wanted {
				w.conflicts = append(w.conflicts, name)
			}
		}
	}
	return w
}

// mustHold checks that foreign files are unchanged, that every link of ours leads to the file of its name or was there before, and
// that no link that is still wanted is missing.
func (w *fixture) mustHold(t testing.TB, before map[string]string) {
	t.Helper()
	now := tree(t, w.root.Name())
	for path, what := range w.foreign {
		if now[path] != what {
			t.Errorf("%s was %q, is %q", path, what, now[path])
		}
	}
	for _, name := range w.wanted {
		if path := Dir + "/" + name; before[path] != "" && now[path] == "" {
			t.Errorf("%s is gone", path)
		}
	}
	for path, what := range now {
		name := filepath.Base(path)
		right := what == "-> "+cacheDir+"/"+name && slices.Contains(w.wanted, name)
		if before[path] != what && !right && !strings.HasPrefix(name, ".") {
			t.Errorf("%s has become %q", path, what)
		}
	}
}

// mustBeBuilt checks that our links are exactly the wanted ones.
func (w *fixture) mustBeBuilt(t testing.TB) {
	t.Helper()
	want := maps.Clone(w.foreign)
	want["left4dead2"], want[Dir] = "directory", "directory"
	for _, name := range w.wanted {
		want[Dir+"/"+name] = "-> " + cacheDir + "/" + name
	}
	if got := tree(t, w.root.Name()); !maps.Equal(got, want) {
		t.Errorf("the folder has\n%v\nwant\n%v", got, want)
	}
}

func TestRandomTrees(t *testing.T) {
	for seed := range uint64(100) {
		w := newFixture(t, seed, false)
		before := tree(t, w.root.Name())
		done, err := build(t.Context(), w.root, w.wanted)
		if err != nil {
			t.Fatalf("tree %d: %v", seed, err)
		}
		w.mustHold(t, before)
		w.mustBeBuilt(t)
		if n := done.Created + done.Replaced + done.Unchanged; n != len(w.wanted) {
			t.Errorf("tree %d: %+v is not %d links", seed, done, len(w.wanted))
		}
		if n := done.Removed + done.Replaced + done.Unchanged; n != w.ours {
			t.Errorf("tree %d: %+v is not what became of %d links", seed, done, w.ours)
		}
		again, err := build(t.Context(), w.root, w.wanted)
		if want := (Result{Unchanged: len(w.wanted)}); err != nil || again != want {
			t.Errorf("tree %d: a second time %+v, %v", seed, again, err)
		}
	}
}

func TestConflictsTouchNothing(t *testing.T) {
	met := 0
	for seed := range uint64(100) {
		w := newFixture(t, seed, true)
		if len(w.conflicts) == 0 {
			continue
		}
		met++
		before := tree(t, w.root.Name())
		_, err := build(t.Context(), w.root, w.wanted)
		conflict, ok := errors.AsType[*ConflictError](err)
		if !ok {
			t.Fatalf("tree %d: %v", seed, err)
		}
		slices.Sort(w.conflicts)
		var names []string
		for _, c := range conflict.Conflicts {
			names = append(names, c.Name)
		}
		if !slices.Equal(names, w.conflicts) {
			t.Errorf("tree %d: conflicts %v, want %v", seed, names, w.conflicts)
		}
		if after := tree(t, w.root.Name()); !maps.Equal(before, after) {
			t.Errorf("tree %d: something was touched:\n%v\n%v", seed, before, after)
		}
	}
	if met < 25 {
		t.Errorf("only %d trees had conflicts", met)
	}
}

// stopAfter is a context that ends at the n-th call of Err.
type stopAfter struct {
	context.Context
	n int
}

func (s *stopAfter) Err() error {
	if s.n--; s.n < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancelBetweenAnySteps(t *testing.T) {
	for seed := range uint64(4) {
		for stop := 0; ; stop++ {
			w := newFixture(t, seed, false)
			before := tree(t, w.root.Name())
			done, err := build(&stopAfter{t.Context(), stop}, w.root, w.wanted)
			w.mustHold(t, before)
			// Err is called once at the beginning, and then before each change.
			n := done.Created + done.Replaced + done.Removed
			if n != max(0, stop-1) || err != nil && !errors.Is(err, context.Canceled) {
				t.Fatalf("cancelled after %d looks: %+v, %v", stop, done, err)
			}
			if err == nil {
				w.mustBeBuilt(t)
				break
			}
			if _, err := build(t.Context(), w.root, w.wanted); err != nil {
				t.Fatal(err)
			}
			w.mustBeBuilt(t)
		}
	}
}

// flaky is a folder in which the n-th step fails, before or after it has happened.
type flaky struct {
	folder
	n        int
	happened bool
}

var errBroken = errors.New("broken")

func (f *flaky) step(do func() error) error {
	if f.n--; f.n != -1 {
		return do()
	}
	if f.happened {
		return errors.Join(errBroken, do())
	}
	return errBroken
}

func (f *flaky) Symlink(target, name string) error {
	return f.step(func() error { return f.folder.Symlink(target, name) })
}

func (f *flaky) Rename(from, to string) error {
	return f.step(func() error { return f.folder.Rename(from, to) })
}

func (f *flaky) Remove(name string) error {
	return f.step(func() error { return f.folder.Remove(name) })
}

func TestFailureAtEachStep(t *testing.T) {
	for seed := range uint64(4) {
		for _, happened := range []bool{false, true} {
			for n := 0; ; n++ {
				w := newFixture(t, seed, false)
				before := tree(t, w.root.Name())
				seen, err := Observe(w.root)
				must(t, err)
				changes, err := Plan(links(w.wanted...), seen, cacheDir)
				must(t, err)
				dir, err := w.root.OpenRoot(Dir)
				must(t, err)
				_, err = apply(t.Context(), &flaky{dir, n, happened}, changes)
				dir.Close()
				w.mustHold(t, before)
				if err == nil {
					w.mustBeBuilt(t)
					break
				}
				if !errors.Is(err, errBroken) {
					t.Fatal(err)
				}
				if _, err := build(t.Context(), w.root, w.wanted); err != nil {
					t.Fatal(err)
				}
				w.mustBeBuilt(t)
			}
		}
	}
}

// Between Observe and Apply a foreign file gets a name that was to be changed.
func TestChangedSinceObserved(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after func(root *os.Root, path string) error
		reason        string
	}{
		"file on a free name": {
			after:  func(r *os.Root, p string) error { return r.WriteFile(p, []byte("precious"), 0o644) },
			reason: "link 1.vpk: file exists",
		},
		"file on a wrong link": {
			before: func(r *os.Root, p string) error { return r.Symlink(cacheDir+"/2.vpk", p) },
			after: func(r *os.Root, p string) error {
				return errors.Join(r.Remove(p), r.WriteFile(p, []byte("precious"), 0o644))
			},
			reason: "replace link 1.vpk: it is no longer the link that it was: invalid argument",
		},
		"foreign link on a wrong link": {
			before: func(r *os.Root, p string) error { return r.Symlink(cacheDir+"/2.vpk", p) },
			after:  func(r *os.Root, p string) error { return errors.Join(r.Remove(p), r.Symlink("/mine.vpk", p)) },
			reason: `replace link 1.vpk: it is no longer the link that it was: it points to "/mine.vpk"`,
		},
		"foreign link on an unwanted one": {
			before: func(r *os.Root, p string) error { return r.Symlink(cacheDir+"/9.vpk", Dir+"/9.vpk") },
			after: func(r *os.Root, p string) error {
				return errors.Join(r.Remove(Dir+"/9.vpk"), r.Symlink("/mine.vpk", Dir+"/9.vpk"))
			},
			reason: `remove link 9.vpk: it is no longer the link that it was: it points to "/mine.vpk"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := overlay(t)
			must(t, root.MkdirAll(Dir, 0o755))
			const path = Dir + "/1.vpk"
			if tt.before != nil {
				must(t, tt.before(root, path))
			}
			seen, err := Observe(root)
			must(t, err)
			changes, err := Plan(links("1.vpk"), seen, cacheDir)
			must(t, err)
			must(t, tt.after(root, path))
			before := tree(t, root.Name())
			if _, err := Apply(t.Context(), root, changes); err == nil || err.Error() != tt.reason {
				t.Errorf("Apply = %v, want %s", err, tt.reason)
			}
			if after := tree(t, root.Name()); !maps.Equal(before, after) {
				t.Errorf("touched: %v, then %v", before, after)
			}
		})
	}
}

// Links on the way to the folder must not lead out of the overlay.
func TestEscapes(t *testing.T) {
	for name, put := range map[string]func(root *os.Root, outside string) error{
		"left4dead2 is a link out":     func(r *os.Root, out string) error { return r.Symlink(out, "left4dead2") },
		"left4dead2 is a relative one": func(r *os.Root, out string) error { return r.Symlink("../"+filepath.Base(out), "left4dead2") },
		"left4dead2 is a dangling one": func(r *os.Root, out string) error { return r.Symlink(out+"/new", "left4dead2") },
		"addons is a link out": func(r *os.Root, out string) error {
			return errors.Join(r.Mkdir("left4dead2", 0o755), r.Symlink(out, Dir))
		},
		"addons is a dangling link out": func(r *os.Root, out string) error {
			return errors.Join(r.Mkdir("left4dead2", 0o755), r.Symlink(out+"/new", Dir))
		},
		"addons is a link to itself": func(r *os.Root, out string) error {
			return errors.Join(r.Mkdir("left4dead2", 0o755), r.Symlink("addons", Dir))
		},
		"addons is a file": func(r *os.Root, out string) error {
			return errors.Join(r.Mkdir("left4dead2", 0o755), r.WriteFile(Dir, nil, 0o644))
		},
		"left4dead2 goes up, then out":    func(r *os.Root, out string) error { return r.Symlink("..", "left4dead2") },
		"left4dead2 is a file, not a dir": func(r *os.Root, out string) error { return r.WriteFile("left4dead2", nil, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			outside := filepath.Join(parent, "outside")
			must(t, os.MkdirAll(filepath.Join(outside, "addons"), 0o755))
			must(t, os.Symlink(cacheDir+"/9.vpk", filepath.Join(outside, "addons", "9.vpk")))
			must(t, os.Symlink(cacheDir+"/9.vpk", filepath.Join(outside, "9.vpk")))
			must(t, os.Mkdir(filepath.Join(parent, "overlay"), 0o755))
			root, err := os.OpenRoot(filepath.Join(parent, "overlay"))
			must(t, err)
			defer root.Close()
			must(t, put(root, outside))
			before := tree(t, parent)
			if done, err := build(t.Context(), root, []string{"1.vpk"}); err == nil {
				t.Errorf("build = %+v", done)
			}
			if after := tree(t, parent); !maps.Equal(before, after) {
				t.Errorf("touched: %v, then %v", before, after)
			}
		})
	}
}

// Links on the way to the folder are allowed if they stay inside the overlay.
func TestLinkInside(t *testing.T) {
	root := overlay(t)
	must(t, root.MkdirAll("games/addons", 0o755), root.Symlink("games", "left4dead2"))
	if done, err := build(t.Context(), root, []string{"1.vpk"}); err != nil || done.Created != 1 {
		t.Errorf("build = %+v, %v", done, err)
	}
	if got, err := root.Readlink("games/addons/1.vpk"); got != cacheDir+"/1.vpk" || err != nil {
		t.Errorf("link = %q, %v", got, err)
	}
}

func TestFirstBuildMakesFolder(t *testing.T) {
	for _, wanted := range [][]string{nil, {"1.vpk", "2.vpk", "1.vpk"}} {
		w := &fixture{root: overlay(t), wanted: wanted}
		done, err := build(t.Context(), w.root, wanted)
		if err != nil || done.Created != len(wanted)*2/3 {
			t.Errorf("build = %+v, %v", done, err)
		}
		w.foreign = map[string]string{}
		w.mustBeBuilt(t)
	}
}

func TestPlanRefuses(t *testing.T) {
	for _, name := range []string{"", ".", "..", ".1.vpk", "a/b", "../1.vpk", "/1.vpk", "1\x00.vpk"} {
		if c, err := Plan([]Link{{Name: name, Target: cacheDir + "/1.vpk"}}, Observed{}, cacheDir); err == nil {
			t.Errorf("%q gave %+v", name, c)
		}
	}
	if c, err := Plan(links("1.vpk"), Observed{}, "workshop_cache"); err == nil {
		t.Errorf("a relative cache gave %+v", c)
	}
	for _, wanted := range [][]Link{
		{{Name: "1.vpk", Target: "/elsewhere/1.vpk"}},
		{{Name: "1.vpk", Target: "1.vpk"}},
		{{Name: "1.vpk"}},
		{{Name: "a.vpk", Target: cacheDir + "/1.vpk"}, {Name: "a.vpk", Target: cacheDir + "/2.vpk"}},
	} {
		if c, err := Plan(wanted, Observed{}, cacheDir); err == nil {
			t.Errorf("%v gave %+v", wanted, c)
		}
	}
}

// A link may have another name than the file that it leads to.
func TestLinksWithOtherNames(t *testing.T) {
	root := overlay(t)
	apply := func(wanted []Link, want Result, links map[string]string) {
		t.Helper()
		seen, err := Observe(root)
		must(t, err)
		changes, err := Plan(wanted, seen, cacheDir)
		must(t, err)
		done, err := Apply(t.Context(), root, changes)
		must(t, err)
		seen, err = Observe(root)
		must(t, err)
		if done != want || !maps.Equal(seen.Links, links) {
			t.Errorf("%+v, want %+v; links %v, want %v", done, want, seen.Links, links)
		}
	}
	first, second := cacheDir+"/1.vpk", cacheDir+"/old/2.vpk"
	apply(links("1.vpk"), Result{Created: 1}, map[string]string{"1.vpk": first})
	apply([]Link{{Name: "holdout.vpk", Target: first}}, Result{Created: 1, Removed: 1}, map[string]string{"holdout.vpk": first})
	apply([]Link{{Name: "holdout.vpk", Target: second}, {Name: "1.vpk", Target: first}}, Result{Created: 1, Replaced: 1}, map[string]string{"holdout.vpk": second, "1.vpk": first})
}

func TestConflictErrorListsForeignFiles(t *testing.T) {
	seen := Observed{
		Links:  map[string]string{"3.vpk": "/home/me/3.vpk"},
		Others: map[string]fs.FileMode{"1.vpk": 0, "2.vpk": fs.ModeDir, "4.vpk": fs.ModeNamedPipe},
	}
	c, err := Plan(links("4.vpk", "3.vpk", "2.vpk", "1.vpk"), seen, cacheDir)
	must(t, err)
	want := "not made by left4me, and in the way of its links: left4dead2/addons/1.vpk (a file), left4dead2/addons/2.vpk (a directory), " +
		`left4dead2/addons/3.vpk (a link to "/home/me/3.vpk"), left4dead2/addons/4.vpk (something else)`
	if c.Err() == nil || c.Err().Error() != want {
		t.Errorf("error is %v, want %s", c.Err(), want)
	}
	var wanted []string
	for i := range 25 {
		name := fmt.Sprintf("%d.vpk", i)
		wanted, seen.Others[name] = append(wanted, name), 0
	}
	delete(seen.Links, "3.vpk")
	c, err = Plan(links(wanted...), seen, cacheDir)
	must(t, err)
	if !strings.HasSuffix(c.Err().Error(), " and 15 more") {
		t.Error(c.Err())
	}
}
