// Package vpk reads what is in a VPK, the file of an add-on: its description, its campaigns and maps, and what kind it is (content.md
// P70). All of it is strangers' text: it is read with limits, and what is wrong in a text is left out.
//
// It knows nothing of the cache and of the database.
package vpk

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"left4me/shared/text"
)

// Kind is what an add-on is.
type Kind string

// The kinds, in the order in which they are tried.
const (
	CampaignKind Kind = "campaign"
	Mutation     Kind = "mutation or script"
	Weapon       Kind = "weapon"
	Survivor     Kind = "survivor"
	Infected     Kind = "infected"
	Sound        Kind = "sound"
	Interface    Kind = "interface"
	Other        Kind = "other"
)

// Content is what is in a VPK. Its texts are without control characters and have at most maxText bytes.
type Content struct {
	Kind Kind
	// Title, Author and Version are those of its addoninfo.txt; empty if that does not say.
	Title, Author, Version string
	// Campaigns are those of its missions that have maps, in the order of their files.
	Campaigns []Campaign
	// Mutations are the names of the game modes that it adds. Each has a letter, so none is a steam id.
	Mutations []string
}

// Campaign is what a mission file describes.
type Campaign struct {
	Title string `json:"title"`
	// Modes are those that have maps, in the order of the file.
	Modes []Mode `json:"modes"`
}

// Maps returns the number of different maps.
func (c Campaign) Maps() int {
	different := map[string]bool{}
	for _, mode := range c.Modes {
		for _, m := range mode.Maps {
			different[m.Name] = true
		}
	}
	return len(different)
}

// Mode is a game mode of a campaign.
type Mode struct {
	// Name is such as coop. It consists of small letters, digits and _.
	Name string `json:"name"`
	// Maps are in the order in which they are played.
	Maps []Map `json:"maps"`
}

// Map is a chapter of a campaign.
type Map struct {
	// Name is the name that the game's command `map` takes. It consists of letters, digits, _, - and ., and does not begin with - or .
	Name string `json:"name"`
	// Title is for people; the name if there is no other.
	Title string `json:"title"`
}

// Limits of what is read. What is beyond them is left out.
const (
	maxFiles = 32        // of each kind
	maxBytes = 512 << 10 // of each file
	maxMaps  = 200       // of all modes of all campaigns
	maxModes = 50
	maxText  = 120
)

// Read reads the content of the VPK r of size bytes. The error says why the content is unknown, or is r's.
func Read(r io.ReaderAt, size int64) (Content, error) {
	begun := beginnings.Get().(*beginning)
	defer beginnings.Put(begun)
	if err := begun.of(r, size); err != nil {
		return Content{}, err
	}
	r = begun
	found := finder{files: map[string][]file{}, seen: map[Kind]bool{}}
	if err := walk(r, size, found.add); err != nil {
		return Content{}, err
	}
	c := Content{Kind: found.kind()}
	for _, f := range found.files[addonInfo] {
		content, err := f.read(r)
		if err != nil {
			return Content{}, err
		}
		info := parse(content)
		for key, value := range map[string]*string{"addontitle": &c.Title, "addonauthor": &c.Author, "addonversion": &c.Version} {
			if n := find(info, key); n != nil {
				*value = clean(n.value)
			}
		}
	}
	for _, f := range found.files[modes] {
		if name := strings.TrimSuffix(path.Base(f.path), ".txt"); isName(name, "_") && strings.Trim(name, "0123456789") != "" {
			c.Mutations = append(c.Mutations, name)
		}
	}
	words := dictionary{r: r, files: found.files[languages]}
	left := maxMaps
	for _, f := range found.files[missions] {
		content, err := f.read(r)
		if err != nil {
			return Content{}, err
		}
		if campaign := mission(parse(content), &words, &left); len(campaign.Modes) > 0 {
			c.Campaigns = append(c.Campaigns, campaign)
		}
	}
	return c, words.err
}

// beginning is a file whose first bytes were read at once: most files have their index there, and their texts right behind it.
type beginning struct {
	io.ReaderAt
	first [16 << 10]byte
	n     int // how many of first are those of the file
}

// beginnings are reused, because of their size.
var beginnings = sync.Pool{New: func() any { return new(beginning) }}

// of makes it the file r of size bytes.
func (b *beginning) of(r io.ReaderAt, size int64) (err error) {
	b.ReaderAt = r
	if b.n, err = r.ReadAt(b.first[:min(size, int64(len(b.first)))], 0); err == io.EOF {
		err = nil
	}
	return err
}

func (b *beginning) ReadAt(p []byte, off int64) (int, error) {
	if off >= 0 && off+int64(len(p)) <= int64(b.n) {
		return copy(p, b.first[off:]), nil
	}
	return b.ReaderAt.ReadAt(p, off)
}

// Paths calls each with the path and the CRC-32 of every file in the VPK r of size bytes. A path is in lower case, with slashes, as the game
// looks for it; it is valid until each returns, and strangers have chosen it. The error is that of Read.
func Paths(r io.ReaderAt, size int64, each func(path []byte, crc uint32)) error {
	return walk(r, size, func(e entry) { each(e.path, e.crc) })
}

// Kinds of files that are read.
const (
	addonInfo = "addoninfo"
	missions  = "missions"
	modes     = "modes"
	languages = "languages"
)

type file struct {
	path           string
	preload        []byte
	offset, length int64
}

// finder collects the files to read, by kind, and what kinds of add-on the names of all files speak for.
type finder struct {
	files map[string][]file
	seen  map[Kind]bool
	last  Kind // the one that was seen last
}

// kinds are what files can speak for, in the order in which they count.
var kinds = [...]Kind{CampaignKind, Mutation, Weapon, Survivor, Infected, Sound, Interface}

// speaksFor returns what a file of that path speaks for; Other if for nothing. Materials count as what they are for.
func speaksFor(p []byte) Kind {
	directory, rest, found := bytes.Cut(bytes.TrimPrefix(p, []byte("materials/")), []byte("/"))
	if !found {
		return Other
	}
	switch string(directory) {
	case "maps", "missions":
		return CampaignKind
	case "modes":
		return Mutation
	case "scripts":
		switch {
		case bytes.HasPrefix(rest, []byte("vscripts/")):
			return Mutation
		case bytes.HasPrefix(rest, []byte("weapon_")):
			return Weapon
		case bytes.HasPrefix(rest, []byte("hud")):
			return Interface
		}
	case "models":
		directory, _, found := bytes.Cut(rest, []byte("/"))
		switch string(directory) {
		case "weapons", "v_models", "w_models":
			if found {
				return Weapon
			}
		case "survivors":
			if found {
				return Survivor
			}
		case "infected":
			if found {
				return Infected
			}
		}
	case "sound":
		return Sound
	case "resource", "vgui":
		return Interface
	}
	return Other
}

func (f *finder) kind() Kind {
	for _, k := range kinds {
		if f.seen[k] {
			return k
		}
	}
	return Other
}

func (f *finder) add(e entry) {
	if k := speaksFor(e.path); k != f.last {
		f.last, f.seen[k] = k, true
	}
	if !bytes.HasSuffix(e.path, []byte(".txt")) {
		return
	}
	kind := ""
	switch directory, name := path.Split(string(e.path)); {
	case directory == "" && name == "addoninfo.txt":
		kind = addonInfo
	case directory == "missions/":
		kind = missions
	case directory == "modes/":
		kind = modes
	case directory == "resource/" && strings.HasSuffix(name, "_english.txt"):
		kind = languages
	default:
		return
	}
	if len(f.files[kind]) < maxFiles {
		f.files[kind] = append(f.files[kind], file{string(e.path), slices.Clone(e.preload), e.offset, e.length})
	}
}

// read reads the text of a file; empty if it is not in r.
func (f file) read(r io.ReaderAt) (string, error) {
	raw := make([]byte, min(f.length, maxBytes))
	n, err := r.ReadAt(raw, f.offset)
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read %s: %w", f.path, err)
	}
	return decode(append(f.preload, raw[:n]...)), nil
}

// mission reads a mission file, with at most *left maps, which it counts down.
func mission(nodes []*node, words *dictionary, left *int) Campaign {
	var c Campaign
	for _, key := range []string{"DisplayTitle", "Name"} {
		if n := find(nodes, key); n != nil && c.Title == "" {
			c.Title = words.lookup(n.value)
		}
	}
	all := find(nodes, "modes")
	if all == nil {
		return Campaign{}
	}
	for _, m := range all.children {
		name := strings.ToLower(m.key)
		if !isName(name, "_") || len(c.Modes) == maxModes {
			continue
		}
		maps := chapters(m, words)
		maps = maps[:min(len(maps), *left)]
		if len(maps) == 0 {
			continue
		}
		*left -= len(maps)
		if n := slices.IndexFunc(c.Modes, func(m Mode) bool { return m.Name == name }); n >= 0 {
			c.Modes[n].Maps = append(c.Modes[n].Maps, maps...)
		} else {
			c.Modes = append(c.Modes, Mode{Name: name, Maps: maps})
		}
	}
	if c.Title == "" && len(c.Modes) > 0 {
		c.Title = c.Modes[0].Maps[0].Title
	}
	return c
}

// chapters returns the maps of a mode, by the numbers that are their keys. Other keys are none.
func chapters(mode *node, words *dictionary) []Map {
	type chapter struct {
		number int
		Map
	}
	var all []chapter
	for _, n := range mode.children {
		number, err := strconv.Atoi(n.key)
		name := n.child("Map")
		if err != nil || !isName(name, "_-.") || strings.ContainsAny(name[:1], "-.") {
			continue
		}
		all = append(all, chapter{number, Map{Name: name, Title: cmp.Or(words.lookup(n.child("DisplayName")), name)}})
	}
	slices.SortStableFunc(all, func(a, b chapter) int { return cmp.Compare(a.number, b.number) })
	var maps []Map
	for _, c := range all {
		maps = append(maps, c.Map)
	}
	return maps
}

// isName is whether a name of a map or mode is one that commands can contain: ASCII letters, digits and more.
func isName(s, more string) bool {
	for _, c := range s {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune(more, c)) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// clean makes one line of at most maxText bytes of a text.
func clean(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	return text.Truncate(s, maxText)
}

// dictionary has the texts of the language files, which are read when the first text is looked up.
type dictionary struct {
	r     io.ReaderAt
	files []file
	words map[string]string
	err   error
}

// lookup returns a text of a mission for people: of a key such as #Title, what the language files say; empty if they do not have it.
func (d *dictionary) lookup(s string) string {
	key, isKey := strings.CutPrefix(s, "#")
	if !isKey {
		return clean(s)
	}
	if d.words == nil {
		d.words = map[string]string{}
		for _, f := range d.files {
			var content string
			if content, d.err = f.read(d.r); d.err != nil {
				break
			}
			if tokens := find(parse(content), "Tokens"); tokens != nil {
				for _, n := range tokens.children {
					if len(d.words) < maxNodes {
						d.words[strings.ToLower(clean(n.key))] = clean(n.value)
					}
				}
			}
		}
	}
	return d.words[strings.ToLower(clean(key))]
}
