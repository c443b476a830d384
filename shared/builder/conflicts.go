package builder

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"left4me/shared/linkfarm"
	"left4me/shared/overlay"
	"left4me/shared/steam"
	"left4me/shared/text"
	"left4me/shared/vpk"
	"left4me/shared/workshop"
)

// Limits of a comparison. What is beyond them is not compared, or counted but not listed.
const (
	maxFiles     = 1_000_000 // of an overlay, in add-ons and outside them
	maxLoose     = 20_000    // of an overlay, outside add-ons
	maxNames     = 200_000   // in its directory
	maxSummed    = 1 << 30   // bytes of those whose content is read
	maxConflicts = 1000      // sets of origins
	listed       = 50        // of them
	listedOf     = 8         // paths, and origins, of each
	listedLength = 160       // bytes of a path
)

// compare finds which files conflict in an overlay, and with those of the overlays in the same blueprints (content.md P72), for Record to
// store. files names the overlay's files, and is empty if only the directory tells: what was compared under the same names is not compared
// again. What cannot be read is left out. The error is ctx's or the database's.
func (h *Host) compare(ctx context.Context, o overlay.Overlay, files string) error {
	h.compared = nil
	all, err := h.Items.Neighbours(ctx, o.ID)
	if err != nil {
		return err
	}
	c := comparer{host: h, seed: maphash.MakeSeed(), left: maxSummed}
	defer c.close()
	var mine *listing
	if files == "" {
		mine = c.list(ctx, o.ID)
		files = mine.name
	}
	for _, n := range all {
		compared := files
		if n.ID < o.ID {
			compared = n.Files + " " + files
		} else if n.ID > o.ID {
			compared = files + " " + n.Files
		}
		if n.Compared == compared {
			continue
		}
		if mine == nil {
			mine = c.list(ctx, o.ID)
		}
		theirs := mine
		if n.ID != o.ID {
			theirs = c.list(ctx, n.ID)
		}
		found := c.compare(ctx, mine, theirs)
		if err := ctx.Err(); err != nil {
			return err
		}
		found.OverlayID, found.OtherID, found.Files = min(o.ID, n.ID), max(o.ID, n.ID), compared
		h.compared = append(h.compared, found)
	}
	return nil
}

// comparer compares the files of overlays.
type comparer struct {
	host    *Host
	seed    maphash.Seed
	left    int64 // bytes of files outside add-ons that may still be read
	roots   []*os.Root
	sources []*source
}

func (c *comparer) close() {
	for _, r := range c.roots {
		r.Close()
	}
}

// open opens a directory until close. If that is impossible, it has no files.
func (c *comparer) open(dir string) *os.Root {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	c.roots = append(c.roots, root)
	return root
}

// source is an add-on, or the files that lie in an overlay's directory itself.
type source struct {
	workshop.Origin
	root *os.Root
	name string            // of the add-on in root
	all  map[uint64]string // names in root by hash of their path, if it is not an add-on
}

// add adds a source and returns its number.
func (c *comparer) add(s *source) uint32 {
	c.sources = append(c.sources, s)
	return uint32(len(c.sources) - 1)
}

// content is a file of a source. It is small because there may be many.
type content struct {
	path uint64 // hash
	crc  uint32 // unknown at first if it is outside add-ons
	from uint32 // number of the source
}

// listing has the files of an overlay's directory, sorted by path.
type listing struct {
	files []content
	// name names them all; it changes when they do.
	name string
}

// list lists the files of an overlay.
func (c *comparer) list(ctx context.Context, overlayID int64) *listing {
	l := &listing{}
	root, cache := c.open(filepath.Join(c.host.OverlaysDir, fmt.Sprint(overlayID))), c.open(c.host.Cache.Dir())
	if root == nil {
		return l
	}
	sum := sha256.New()
	loose := &source{Origin: workshop.Origin{OverlayID: overlayID}, root: root, all: map[uint64]string{}}
	looseNumber, names := c.add(loose), 0
	_ = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		addOn := path.Dir(name) == linkfarm.Dir && strings.HasSuffix(name, ".vpk")
		switch names++; {
		case ctx.Err() != nil || names > maxNames:
			return fs.SkipAll
		case err != nil || d.IsDir() || path.Dir(name) == "." && strings.HasPrefix(name, "."): // unreadable, or a marker
			return nil
		case d.Type() == fs.ModeSymlink && addOn && cache != nil:
			if target, err := root.Readlink(name); err == nil {
				if rel, err := filepath.Rel(c.host.Cache.Dir(), target); err == nil && filepath.IsLocal(rel) {
					l.addOn(c, &source{Origin: workshop.Origin{OverlayID: overlayID, SteamID: idIn(rel)}, root: cache, name: rel})
				}
			}
		case d.Type().IsRegular():
			info, err := d.Info()
			if err != nil {
				return nil
			}
			fmt.Fprintf(sum, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
			if addOn {
				l.addOn(c, &source{Origin: workshop.Origin{OverlayID: overlayID, File: path.Base(name)}, root: root, name: name})
			} else if p := inGame(name); !isEverywhere(p) && len(loose.all) < maxLoose {
				hash := maphash.String(c.seed, p)
				loose.all[hash] = name
				l.files = append(l.files, content{path: hash, from: looseNumber})
			}
		}
		return nil
	})
	slices.SortFunc(l.files, func(a, b content) int { return cmp.Compare(a.path, b.path) })
	l.name = shortSum(sum)
	return l
}

// shortSum is a name for what was written to sum.
func shortSum(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)[:8]) }

// inGame is the path that a file of an overlay has for the game, as those in VPKs.
func inGame(name string) string {
	if rest, ok := strings.CutPrefix(name, "left4dead2/"); ok {
		return strings.ToLower(rest)
	}
	return "../" + strings.ToLower(name)
}

// idIn is the item of a file in the cache: 1.vpk, or in a directory 1.
func idIn(rel string) steam.ID {
	for part := range strings.SplitSeq(rel, "/") {
		if id, err := steam.ParseID(strings.TrimSuffix(part, ".vpk")); err == nil {
			return id
		}
	}
	return ""
}

// isEverywhere is whether a file is of a kind that every add-on has, and the game does not use.
func isEverywhere(p string) bool {
	name := path.Base(p)
	return name == "addoninfo.txt" || strings.HasPrefix(name, "addonimage.") ||
		slices.Contains([]string{".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tga"}, path.Ext(name))
}

// addOn adds the files of a VPK. If that is broken, its files are those before the defect.
func (l *listing) addOn(c *comparer, s *source) {
	number := c.add(s)
	_ = s.paths(func(p []byte, crc uint32) {
		if len(l.files) < maxFiles && !isEverywhere(string(p)) {
			l.files = append(l.files, content{path: maphash.Bytes(c.seed, p), crc: crc, from: number})
		}
	})
}

// openFile opens a regular file of a source.
func (s *source) openFile(name string) (*os.File, int64, error) {
	f, err := s.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a file")
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// paths calls each with the paths of a source and their CRCs, which are 0 outside add-ons.
func (s *source) paths(each func(path []byte, crc uint32)) error {
	for _, name := range s.all {
		each([]byte(inGame(name)), 0)
	}
	if s.name == "" {
		return nil
	}
	f, size, err := s.openFile(s.name)
	if err != nil {
		return err
	}
	defer f.Close()
	return vpk.Paths(f, size, each)
}

// crc returns the CRC of a file outside add-ons; false if it cannot be read, or too much was read before.
func (c *comparer) crc(s *source, hash uint64) (uint32, bool) {
	f, size, err := s.openFile(s.all[hash])
	if err != nil {
		return 0, false
	}
	defer f.Close()
	if c.left -= size; c.left < 0 {
		return 0, false
	}
	sum := crc32.NewIEEE()
	_, err = io.Copy(sum, f)
	return sum.Sum32(), err == nil
}

// conflict is a workshop.Conflict that is being found.
type conflict struct {
	workshop.Conflict
	first *source // the one whose paths give the conflict its own
}

// conflicting is a path of a conflict.
type conflicting struct {
	path uint64
	of   *conflict // nil: not listed
}

// compare finds the conflicts between the files of two overlays, or in those of one.
func (c *comparer) compare(ctx context.Context, a, b *listing) (found workshop.Comparison) {
	var paths []conflicting
	conflicts, readAgain := map[string]*conflict{}, map[*source]bool{}
	for n, m := 0, 0; n < len(a.files) && ctx.Err() == nil; {
		hash, from := a.files[n].path, n
		for n < len(a.files) && a.files[n].path == hash {
			n++
		}
		same, others := a.files[from:n], []content(nil)
		if a != b {
			for m < len(b.files) && b.files[m].path < hash {
				m++
			}
			from := m
			for m < len(b.files) && b.files[m].path == hash {
				m++
			}
			if from == m {
				continue
			}
			others = b.files[from:m]
		}
		if origins := c.differing(same, others); len(origins) > 0 {
			key, first := fmt.Sprint(origins), c.sources[origins[0]]
			of := conflicts[key]
			if of == nil && len(conflicts) < maxConflicts {
				of = &conflict{workshop.Conflict{Rank: workshop.Others, Between: c.origins(origins), Origins: len(origins)}, first}
				conflicts[key], readAgain[first] = of, true
			}
			paths = append(paths, conflicting{hash, of})
		}
	}
	found.Paths, found.Conflicts = len(paths), []workshop.Conflict{}
	c.nameAll(ctx, paths, readAgain)
	for _, of := range conflicts {
		found.Conflicts = append(found.Conflicts, of.Conflict)
	}
	slices.SortFunc(found.Conflicts, func(a, b workshop.Conflict) int {
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(b.Count, a.Count), slices.Compare(a.Paths, b.Paths))
	})
	found.Conflicts = found.Conflicts[:min(len(found.Conflicts), listed)]
	return found
}

// differing returns the numbers of the sources of files with the same path whose content differs from that of another one, else none. With two
// overlays, others are the files of the second one, and only differences between the two count.
func (c *comparer) differing(same, others []content) []uint32 {
	if len(same)+len(others) < 2 {
		return nil
	}
	// crcs returns the CRCs of files, and whether all are the same.
	crcs := func(files []content) (all []uint32, equal bool) {
		equal = true
		for _, f := range files {
			if s := c.sources[f.from]; s.all != nil {
				sum, ok := c.crc(s, f.path)
				if !ok {
					return nil, true
				}
				f.crc = sum
			}
			all = append(all, f.crc)
			equal = equal && f.crc == all[0]
		}
		return all, equal
	}
	mine, mineEqual := crcs(same)
	theirs, theirsEqual := mine, mineEqual
	if len(others) > 0 {
		theirs, theirsEqual = crcs(others)
	}
	if len(mine) == 0 || len(theirs) == 0 {
		return nil
	}
	var origins []uint32
	for n, f := range same {
		if !theirsEqual || mine[n] != theirs[0] {
			origins = append(origins, f.from)
		}
	}
	for n, f := range others {
		if !mineEqual || theirs[n] != mine[0] {
			origins = append(origins, f.from)
		}
	}
	slices.Sort(origins)
	if origins = slices.Compact(origins); len(origins) < 2 {
		return nil
	}
	return origins
}

// origins returns the first of the origins with these numbers, by overlay and item.
func (c *comparer) origins(numbers []uint32) []workshop.Origin {
	all := make([]workshop.Origin, len(numbers))
	for n, number := range numbers {
		all[n] = c.sources[number].Origin
	}
	slices.SortFunc(all, func(a, b workshop.Origin) int {
		return cmp.Or(cmp.Compare(a.OverlayID, b.OverlayID), cmp.Compare(len(a.SteamID), len(b.SteamID)), cmp.Compare(a.SteamID, b.SteamID), cmp.Compare(a.File, b.File))
	})
	return all[:min(len(all), listedOf)]
}

// nameAll gives conflicts their ranks and paths, which are sorted by hash, by reading sources again.
func (c *comparer) nameAll(ctx context.Context, paths []conflicting, sources map[*source]bool) {
	for s := range sources {
		if ctx.Err() != nil {
			return
		}
		_ = s.paths(func(p []byte, _ uint32) {
			at, found := slices.BinarySearchFunc(paths, maphash.Bytes(c.seed, p), func(c conflicting, hash uint64) int { return cmp.Compare(c.path, hash) })
			if !found || paths[at].of == nil || paths[at].of.first != s {
				return
			}
			paths[at].of.add(string(p))
			paths[at].of = nil // an index may have it twice
		})
	}
}

// add adds a path.
func (c *conflict) add(p string) {
	c.Count++
	c.Rank = min(c.Rank, rank(p))
	c.Paths = append(c.Paths, printable(p))
	slices.SortFunc(c.Paths, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) })
	c.Paths = c.Paths[:min(len(c.Paths), listedOf)]
}

func rank(p string) workshop.Rank {
	switch directory, _, _ := strings.Cut(p, "/"); directory {
	case "maps", "missions":
		return workshop.Maps
	case "scripts", "modes":
		return workshop.Scripts
	}
	return workshop.Others
}

// printable is a path without what cannot be shown.
func printable(p string) string {
	p = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(p, string(unicode.ReplacementChar)))
	return text.Truncate(p, listedLength)
}
