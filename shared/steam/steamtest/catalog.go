package steamtest

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
)

// Item is one workshop item of the stand-in's catalog. The zero values of all fields but ID mean an ordinary one.
type Item struct {
	// ID is the steam id: digits.
	ID string
	// Title defaults to `Item {ID}`.
	Title string
	// Filename defaults to `myl4d2addons/item{ID}.vpk`.
	Filename string
	// App is the consumer_app_id; 0 means 550, Left 4 Dead 2.
	App int
	// Result is Steam's result; 0 means 1. Content is served only for 1.
	Result int
	// Size of the file in bytes; 0 means 64 KiB.
	Size int64
	// Version of the VPK format, 1 or 2; 0 means 1.
	Version int
	// Updated is time_updated in Unix seconds; 0 means a time in 2025.
	Updated int64
	// Revision changes the content, and with it the link.
	Revision int
	// Plain gives the content a link that does not end in its SHA-1.
	Plain bool
	// Trap makes Steam offer the preview picture in place of the file.
	Trap bool
	// Campaign is the title of a campaign: the file has the mission with Chapters in Modes. Without it, Maps are in the file, but no mission.
	Campaign string
	// Maps are the names of the file's maps; none means one that no mission lists, unless there are Files or a Mutation.
	Maps []string
	// Chapters are the maps in the mission, some of which other files may have; none means Maps.
	Chapters []string
	// Modes of the campaign; none means coop.
	Modes []string
	// Mutation is the name of a game mode that the file adds.
	Mutation string
	// Files are the paths of small further files. Their content depends on the item, so two items with the same path conflict.
	Files []string
	// Garbled gives the file an index that cannot be read, after a good header.
	Garbled bool
}

// Collection is a list of items and other collections.
type Collection struct {
	// ID is the steam id: digits.
	ID string
	// Title defaults to `Collection {ID}`.
	Title string
	// Children are steam ids, in order. Those of collections are told apart by the catalog.
	Children []string
}

const firstUpdate = 1740856166

func (i Item) withDefaults() Item {
	if i.Title == "" {
		i.Title = "Item " + i.ID
	}
	if i.Filename == "" {
		i.Filename = "myl4d2addons/item" + i.ID + ".vpk"
	}
	if i.App == 0 {
		i.App = 550
	}
	if i.Result == 0 {
		i.Result = 1
	}
	if i.Size == 0 {
		i.Size = 64 << 10
	}
	if i.Version == 0 {
		i.Version = 1
	}
	if i.Updated == 0 {
		i.Updated = firstUpdate
	}
	if len(i.Modes) == 0 {
		i.Modes = []string{"coop"}
	}
	return i
}

// item is an Item with what is made of it.
type item struct {
	Item
	file *File
	// picture is drawn when it is first needed.
	picture func() []byte
}

func newItem(i Item) (*item, error) {
	i = i.withDefaults()
	if !isID(i.ID) {
		return nil, fmt.Errorf("%q is not a steam id", i.ID)
	}
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%s/%d", i.ID, i.Revision)
	seed := hash.Sum64()
	file, err := newFile(i, seed)
	if err != nil {
		return nil, fmt.Errorf("item %s: %w", i.ID, err)
	}
	return &item{Item: i, file: file, picture: sync.OnceValue(func() []byte { return picture(seed) })}, nil
}

func isID(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// Do carries out commands, one a line, in the language that catalogs are written in. Empty lines and lines that start with
// # are left out. Values with spaces are quoted as in Go; sizes may be written as 10MiB. The error names the line;
// those before it have had their effect.
//
//	item 101 title="Dark Harbour" size=10MiB    an item, with the fields of Item in small letters; lists have commas
//	collection 900 title="Best" children=101,102,901
//	update 101 size=12MiB                       new content and link, time_updated an hour later unless updated= is given
//	remove 101                                  as if its author had deleted it (result 9)
//	details status=503 times=2 retry-after=1    a Fault, with its fields in small letters with hyphens
//	content/101 cut=1000                        a Fault for one item only
//	reset                                       no more faults
//	forget                                      empty the record of requests
func (s *Server) Do(commands string) error {
	lines := bufio.NewScanner(strings.NewReader(commands))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.do(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

func (s *Server) do(line string) error {
	words, err := fields(line)
	if err != nil {
		return err
	}
	verb, rest := words[0].key, words[1:]
	var id string
	switch verb {
	case "item", "collection", "update", "remove":
		if len(rest) == 0 || rest[0].hasValue {
			return fmt.Errorf("%s needs a steam id", verb)
		}
		id, rest = rest[0].key, rest[1:]
	}
	switch verb {
	case "item":
		i := Item{ID: id}
		if err := i.set(rest); err != nil {
			return err
		}
		return s.SetItem(i)
	case "update":
		i, ok := s.Item(id)
		if !ok {
			return fmt.Errorf("there is no item %s", id)
		}
		i.Revision++
		i.Updated += 3600
		if err := i.set(rest); err != nil {
			return err
		}
		return s.SetItem(i)
	case "remove":
		s.Remove(id)
		return none(rest)
	case "collection":
		c := Collection{ID: id}
		for _, w := range rest {
			switch w.key {
			case "title":
				c.Title = w.value
			case "children":
				c.Children = strings.Split(w.value, ",")
			default:
				return fmt.Errorf("a collection has no %q", w.key)
			}
		}
		return s.SetCollection(c)
	case "reset":
		s.Reset()
		return none(rest)
	case "forget":
		s.Forget()
		return none(rest)
	}
	f := Fault{}
	f.At, f.ID, _ = strings.Cut(verb, "/")
	if err := f.set(rest); err != nil {
		return err
	}
	return s.AddFault(f)
}

func none(rest []word) error {
	if len(rest) > 0 {
		return fmt.Errorf("%q is too much", rest[0].key)
	}
	return nil
}

// word is `key` or `key=value`.
type word struct {
	key, value string
	hasValue   bool
}

// fields splits a line, which is not empty, at its spaces.
func fields(line string) ([]word, error) {
	var words []word
	for line != "" {
		end := strings.IndexAny(line, " \t=")
		if end < 0 {
			return append(words, word{key: line}), nil
		}
		w := word{key: line[:end]}
		if line[end] == '=' {
			line, w.hasValue = line[end+1:], true
			if strings.HasPrefix(line, `"`) {
				quoted, err := strconv.QuotedPrefix(line)
				if err != nil {
					return nil, fmt.Errorf("%s: the closing quote is missing", w.key)
				}
				// QuotedPrefix has checked it.
				w.value, _ = strconv.Unquote(quoted)
				line = line[len(quoted):]
			} else if end := strings.IndexAny(line, " \t"); end >= 0 {
				w.value, line = line[:end], line[end:]
			} else {
				w.value, line = line, ""
			}
		} else {
			line = line[end:]
		}
		words = append(words, w)
		line = strings.TrimLeft(line, " \t")
	}
	return words, nil
}

func (i *Item) set(words []word) error {
	for _, w := range words {
		var err error
		switch w.key {
		case "title":
			i.Title = w.value
		case "filename":
			i.Filename = w.value
		case "app":
			i.App, err = w.int()
		case "result":
			i.Result, err = w.int()
		case "size":
			i.Size, err = w.bytes()
		case "version":
			i.Version, err = w.int()
		case "updated":
			i.Updated, err = strconv.ParseInt(w.value, 10, 64)
		case "revision":
			i.Revision, err = w.int()
		case "plain":
			i.Plain, err = w.bool()
		case "trap":
			i.Trap, err = w.bool()
		case "campaign":
			i.Campaign = w.value
		case "maps":
			i.Maps = strings.Split(w.value, ",")
		case "chapters":
			i.Chapters = strings.Split(w.value, ",")
		case "modes":
			i.Modes = strings.Split(w.value, ",")
		case "mutation":
			i.Mutation = w.value
		case "files":
			i.Files = strings.Split(w.value, ",")
		case "garbled":
			i.Garbled, err = w.bool()
		default:
			return fmt.Errorf("an item has no %q", w.key)
		}
		if err != nil {
			return fmt.Errorf("%s=%s: %w", w.key, w.value, err)
		}
	}
	return nil
}

func (w word) int() (int, error) { return strconv.Atoi(w.value) }

// bool is true for a word alone.
func (w word) bool() (bool, error) {
	if !w.hasValue {
		return true, nil
	}
	return strconv.ParseBool(w.value)
}

// bytes reads a size, such as 10MiB, that may be negative.
func (w word) bytes() (int64, error) {
	digits, negative := strings.CutPrefix(w.value, "-")
	n, err := humanize.ParseBytes(digits)
	if err != nil || n > 1<<62 {
		return 0, fmt.Errorf("not a size such as 1000 or 10MiB")
	}
	if negative {
		return -int64(n), nil
	}
	return int64(n), nil
}

func (w word) duration() (time.Duration, error) { return time.ParseDuration(w.value) }
