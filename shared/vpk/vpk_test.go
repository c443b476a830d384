package vpk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// packed is a file to pack.
type packed struct {
	path, content string
	preload       int    // how many bytes of the content are in the index
	archive       uint16 // archive index; 0 means the file itself
}

// pack makes a VPK. Each file has its own branch in the tree.
func pack(version int, files ...packed) []byte {
	le := binary.LittleEndian
	var tree, data []byte
	for _, f := range files {
		directory, name := path.Split(f.path)
		extension := path.Ext(name)
		or := func(s string) string {
			if s == "" {
				return " "
			}
			return s
		}
		for _, s := range []string{or(strings.TrimPrefix(extension, ".")), or(strings.TrimSuffix(directory, "/")), strings.TrimSuffix(name, extension)} {
			tree = append(append(tree, s...), 0)
		}
		rest := f.content[f.preload:]
		archive := f.archive
		if archive == 0 {
			archive = sameFile
		}
		tree = le.AppendUint32(tree, 0)
		tree = le.AppendUint16(tree, uint16(f.preload))
		tree = le.AppendUint16(tree, archive)
		tree = le.AppendUint32(tree, uint32(len(data)))
		tree = le.AppendUint32(tree, uint32(len(rest)))
		tree = le.AppendUint16(tree, entryEnd)
		tree = append(tree, f.content[:f.preload]...)
		tree = append(tree, 0, 0)
		if f.archive == 0 {
			data = append(data, rest...)
		}
	}
	return seal(version, append(tree, 0), data)
}

// seal puts a header before an index and data.
func seal(version int, index, data []byte) []byte {
	all := binary.LittleEndian.AppendUint32(nil, signature)
	all = binary.LittleEndian.AppendUint32(all, uint32(version))
	all = binary.LittleEndian.AppendUint32(all, uint32(len(index)))
	if version == 2 {
		all = append(all, make([]byte, headerV2-headerV1)...)
	}
	return append(append(all, index...), data...)
}

func read(raw []byte) (Content, error) { return Read(bytes.NewReader(raw), int64(len(raw))) }

func littleUTF16(s string) string {
	raw := []byte{0xFF, 0xFE}
	for _, u := range utf16.Encode([]rune(s)) {
		raw = binary.LittleEndian.AppendUint16(raw, u)
	}
	return string(raw)
}

const harbour = `// a campaign
"mission"
{
	"Name"	"harbour"
	"DisplayTitle" "#harbour_title"
	"modes"
	{
		"coop"
		{
			"10" { "Map" "fh3_pier" "DisplayName" "#missing" }
			"2" { "Map" "fh2_street" "DisplayName" "Lantern Street" }
			1 { Map fh1_docks DisplayName "#harbour_docks" }
			"chapters" "3"
		}
		"Versus" { "1" { "Map" "fh1_docks" "Image" "x" } }
		"survival" { }
	}
}`

const harbourWords = `"lang" { "Language" "English" "Tokens" { "harbour_title" "Foggy Harbour" "HARBOUR_DOCKS" "The Docks — März" } }`

func TestACampaignIsRead(t *testing.T) {
	files := []packed{
		{path: "maps/fh1_docks.bsp", content: "bsp"},
		{path: "missions/harbour.txt", content: harbour},
		{path: "resource/harbour_english.txt", content: littleUTF16(harbourWords)},
		{path: "addoninfo.txt", content: "\xEF\xBB\xBF\"AddonInfo\" { addontitle \"Foggy\r\n\tHarbour\x1b\" // title\n addonauthor Nick addonVersion 1.2 [$WIN32] }"},
		{path: "LICENSE", content: "text"},
	}
	want := Content{
		Kind: CampaignKind, Title: "Foggy Harbour", Author: "Nick", Version: "1.2",
		Campaigns: []Campaign{{Title: "Foggy Harbour", Modes: []Mode{
			{"coop", []Map{{"fh1_docks", "The Docks — März"}, {"fh2_street", "Lantern Street"}, {"fh3_pier", "fh3_pier"}}},
			{"versus", []Map{{"fh1_docks", "fh1_docks"}}},
		}}},
	}
	for _, version := range []int{1, 2} {
		for _, preload := range []int{0, 3} {
			for i := range files {
				files[i].preload = preload
			}
			got, err := read(pack(version, files...))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("version %d, %d bytes in the index: %+v, %v", version, preload, got, err)
			}
		}
	}
	files[2].archive = 3 // the language file is in another file, of which only the preload is here
	got, err := read(pack(1, files...))
	if err != nil || got.Campaigns[0].Title != "harbour" || got.Campaigns[0].Modes[0].Maps[0].Title != "fh1_docks" {
		t.Errorf("without the language file: %+v, %v", got, err)
	}
}

func TestKinds(t *testing.T) {
	for files, want := range map[string]Kind{
		"maps/a.bsp":                       CampaignKind,
		"sound/x.wav Maps/b.bsp":           CampaignKind,
		"modes/holdout.txt":                Mutation,
		"scripts/vscripts/director.nut":    Mutation,
		"models/w_models/m16.mdl":          Weapon,
		"materials/models/v_models/m.vtf":  Weapon,
		"sound/x.wav models/survivors/n.x": Survivor,
		"models/infected/smoker.mdl":       Infected,
		"sound/music/a.wav":                Sound,
		"materials/vgui/logo.vtf":          Interface,
		"resource/ui/hud.res":              Interface,
		"addoninfo.txt":                    Other,
		"":                                 Other,
	} {
		var all []packed
		for f := range strings.FieldsSeq(files) {
			all = append(all, packed{path: f})
		}
		if got, err := read(pack(1, all...)); err != nil || got.Kind != want {
			t.Errorf("%s: %q, %v, want %q", files, got.Kind, err, want)
		}
	}
}

func TestMutationsAreNamed(t *testing.T) {
	got, err := read(pack(1, packed{path: "modes/holdout.txt"}, packed{path: "modes/a b.txt"}, packed{path: "modes/101.txt"}, packed{path: "modes/x.nut"}))
	if err != nil || !reflect.DeepEqual(got.Mutations, []string{"holdout"}) {
		t.Errorf("%v, %v", got.Mutations, err)
	}
}

// What a mission file has wrong costs only what is wrong.
func TestMissionsWithErrors(t *testing.T) {
	coop := func(maps ...string) string {
		var b strings.Builder
		for i, m := range maps {
			fmt.Fprintf(&b, "%d { map %q } ", i+1, m)
		}
		return "coop { " + b.String() + "}"
	}
	long := strings.Repeat("long ", 100)
	for in, want := range map[string]string{
		"mission { Name n modes { " + coop("a", "b"):                                            "n: coop a b", // no closing braces
		"mission { Name n poster { x y modes { " + coop("a") + " } }":                           "n: coop a",   // poster is not closed
		"mission { Name n } } } modes { " + coop("a") + " } }":                                  "n: coop a",   // closed too often
		"mission { Name n modes { " + coop("a") + coop("b", "c") + "} }":                        "n: coop a b c",
		"Name n modes { " + coop("a") + "}":                                                     "n: coop a",
		"mission { modes { " + coop("a") + "} }":                                                "a: coop a",
		"mission { Name n { x } modes { " + coop("a") + "} }":                                   "n: coop a",
		`mission { Name "n\" modes { ` + coop("a") + "} }":                                      `n\: coop a`,
		`mission { Name "n modes { ` + coop("a") + "} }":                                        "",
		"mission { Name n modes { " + coop("a;quit", "b c", "-x", "../d", "") + "} } }":         "",
		"mission { Name n modes { 'coop;quit' { 1 { map a } } " + coop("a"):                     "n: coop a",
		"mission { Name n modes { coop { 1 { map a } 1 { map b } x { map c } 1.5 { map d } } }": "n: coop a b",
		"mission { Name n DisplayTitle \"\" modes { " + coop("a"):                               "n: coop a",
		"mission { Name n modes { " + coop("a") + "// }":                                        "n: coop a",
		"mission { Name n modes x }":                                                            "",
		"mission { Name \"" + long + "\" modes { " + coop("a"):                                  long[:117] + "…: coop a",
		"mission { Name \xE9t\xE9 modes { " + coop("a"):                                         "\uFFFDt\uFFFD: coop a",
		"{ { { Name n modes { " + coop("a"):                                                     "n: coop a",
		"":                                                                                      "",
	} {
		content, err := read(pack(1, packed{path: "missions/a.txt", content: in}))
		var got []string
		for _, c := range content.Campaigns {
			line := c.Title + ":"
			for _, m := range c.Modes {
				line += " " + m.Name
				for _, m := range m.Maps {
					line += " " + m.Name
				}
			}
			got = append(got, line)
		}
		if line := strings.Join(got, " / "); err != nil || line != want {
			t.Errorf("%.100s\n\tgives %s, %v\n\twant  %s", in, line, err, want)
		}
	}
}

func TestTextsAreDecoded(t *testing.T) {
	for raw, want := range map[string]string{
		littleUTF16("März 𝄞!"):          "März 𝄞!",
		"\xFE\xFF\x00a\xD8\x34\xDD\x1E": "a𝄞",
		"\xFE\xFF\xD8\x34\x00a\x00":     "\uFFFDa",
		"\xFF\xFE":                      "",
		"\xFF\xFEa":                     "",
		"\xEF\xBB\xBFM\xE4rz":           "M\uFFFDrz",
	} {
		if got := decode([]byte(raw)); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

func TestCampaignsAreLimited(t *testing.T) {
	var files []packed
	for n := range 40 {
		var b strings.Builder
		for mode := range 60 {
			fmt.Fprintf(&b, "m%d { 1 { map a } 2 { map b } }", mode)
		}
		files = append(files, packed{path: fmt.Sprintf("missions/%d.txt", n), content: "modes { " + b.String() + "}"})
	}
	got, err := read(pack(1, files...))
	maps := 0
	for _, c := range got.Campaigns {
		if len(c.Modes) > maxModes {
			t.Errorf("%d modes", len(c.Modes))
		}
		for _, m := range c.Modes {
			maps += len(m.Maps)
		}
	}
	if err != nil || maps != maxMaps {
		t.Errorf("%d maps, %v", maps, err)
	}
}

func TestWhatIsNoVPK(t *testing.T) {
	whole := pack(1, packed{path: "addoninfo.txt", content: "AddonInfo { addontitle x }", preload: 5})
	change := func(at int, b byte) []byte {
		raw := bytes.Clone(whole)
		raw[at] = b
		return raw
	}
	entry := headerV1 + len("txt\x00 \x00addoninfo\x00")
	for _, c := range []struct {
		about string
		raw   []byte
		want  string
	}{
		{"signature", change(0, 'x'), "not a VPK file"},
		{"version", change(4, 3), "not a VPK file: version 3"},
		{"length of the index", change(11, 1), "not a VPK file: a tree of 16777258 bytes in a file of 75"},
		{"end of an entry", change(entry+16, 0), "its index is broken"},
		{"cut index", change(8, whole[8]-1), "its index is broken"},
		{"cut header", whole[:3], "not a VPK file"},
		{"empty index", seal(2, nil, nil), "not a VPK file: a tree of 0 bytes in a file of 28"},
		{"long name", seal(1, []byte("txt\x00"+strings.Repeat("x", 64<<10)+"\x00a\x00"), nil), "its index is broken"},
	} {
		if got, err := read(c.raw); err == nil || err.Error() != c.want || !reflect.DeepEqual(got, Content{}) {
			t.Errorf("%s: %+v, %v, want %s", c.about, got, err, c.want)
		}
	}
}

// endless is a file that repeats a unit after its head.
type endless struct{ head, unit []byte }

func (e endless) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if head := int64(len(e.head)); off < head {
		n = copy(p, e.head[off:])
		off = head
	}
	at := (off - int64(len(e.head))) % int64(len(e.unit))
	for n < len(p) {
		n += copy(p[n:], e.unit[at:])
		at = 0
	}
	return n, nil
}

// With several builds at once, there is little memory for each.
func TestHostileFilesNeedLittleMemory(t *testing.T) {
	le := binary.LittleEndian
	header := func(index uint32) []byte {
		return le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, signature), 1), index)
	}
	empty := append(append([]byte("x\x00"), make([]byte, 16)...), 0xFF, 0xFF)
	full := append([]byte("x\x00"), make([]byte, 18+1<<16-1)...)
	copy(full[2:], []byte{0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF})
	texts := func(directory, suffix string) (index []byte) {
		for n := range 200 {
			index = fmt.Appendf(index, "txt\x00%s\x00%d%s\x00", directory, n, suffix)
			index = append(index, 0, 0, 0, 0, 0, 0, 0xFF, 0x7F, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0)
		}
		return index
	}
	withTexts := func(unit string, more ...byte) endless {
		index := append(append(texts("missions", ""), texts("resource", "_english")...), 0)
		return endless{append(append(header(uint32(len(index))), index...), more...), []byte(unit)}
	}
	for _, c := range []struct {
		about string
		file  endless
		want  string
	}{
		{"an index of 2 GiB", endless{header(2 << 30), []byte("x\x00\x00")}, "its index is larger than 16 MiB"},
		{"an index without end", endless{header(2 << 30), []byte("x")}, "its index is larger than 16 MiB"},
		{"10 million files", endless{append(header(400<<20), "txt\x00 \x00"...), empty}, "it has more than 250000 files"},
		{"files in the index", endless{append(header(400<<20), "txt\x00 \x00"...), full}, "its index is larger than 16 MiB"},
		{"missions in the index", endless{append(header(400<<20), "txt\x00missions\x00"...), full}, "its index is larger than 16 MiB"},
		{"opening braces", withTexts("{"), ""},
		{"closing braces", withTexts("}"), ""},
		{"nested blocks", withTexts("a{"), ""},
		{"many words", withTexts("a "), ""},
		{"one word", withTexts("a"), ""},
		{"quotation marks", withTexts(`"`), ""},
		{"comments", withTexts("//\n"), ""},
		{"maps", withTexts("modes{coop{1{map a DisplayName #a}2{map b}}}"), ""},
		{"UTF-16", withTexts("a\x00\n\x00", 0xFF, 0xFE), ""},
		{"words of a language", withTexts("\x00L\x00{\x00T\x00o\x00k\x00e\x00n\x00s\x00{\x00a\x00 \x00b", 0xFE, 0xFF), ""},
	} {
		_, err := Read(c.file, 4<<30)
		if said := fmt.Sprint(err); said != c.want && (err != nil || c.want != "") {
			t.Errorf("%s: %v, want %q", c.about, err, c.want)
		}
		var memory runtime.MemStats
		if runtime.ReadMemStats(&memory); memory.HeapSys > 64<<20 {
			t.Fatalf("%s: %d MiB", c.about, memory.HeapSys>>20)
		}
	}
}

// broken is a file of a disk that fails beyond a position.
type broken struct {
	io.ReaderAt
	from int64
}

var errDisk = errors.New("input/output error")

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.from {
		return 0, errDisk
	}
	return b.ReaderAt.ReadAt(p, off)
}

func TestErrorsOfTheDiskAreReturned(t *testing.T) {
	raw := pack(1, packed{path: "addoninfo.txt", content: "a b"}, packed{path: "missions/a.txt", content: harbour}, packed{path: "resource/a_english.txt", content: harbourWords})
	for from := range int64(len(raw)) {
		if _, err := Read(broken{bytes.NewReader(raw), from}, int64(len(raw))); !errors.Is(err, errDisk) {
			t.Fatalf("the disk fails from byte %d of %d on: %v", from, len(raw), err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(pack(1, packed{path: "addoninfo.txt", content: "AddonInfo { addontitle x }", preload: 5}, packed{path: "maps/a.bsp"}))
	f.Add(pack(2, packed{path: "missions/harbour.txt", content: harbour}, packed{path: "resource/harbour_english.txt", content: littleUTF16(harbourWords)}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := read(raw)
		if err != nil && !reflect.DeepEqual(c, Content{}) {
			t.Errorf("%v with %+v", err, c)
		}
		checkContent(t, c)
	})
}

// FuzzMission fuzzes the texts, which FuzzRead rarely reaches.
func FuzzMission(f *testing.F) {
	f.Add(harbour, harbourWords)
	f.Add("mission { Name n } } modes { coop { 1 { map a [$X360] } // x\n \"", littleUTF16(harbourWords))
	f.Fuzz(func(t *testing.T, mission, words string) {
		c, err := read(pack(1, packed{path: "missions/a.txt", content: mission}, packed{path: "resource/a_english.txt", content: words},
			packed{path: "addoninfo.txt", content: mission}))
		if err != nil {
			t.Error(err)
		}
		checkContent(t, c)
	})
}

// checkContent checks what Content promises.
func checkContent(t *testing.T, c Content) {
	t.Helper()
	isText := func(s string) bool {
		return len(s) <= maxText && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
	}
	allowed := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
	for _, s := range []string{c.Title, c.Author, c.Version} {
		if !isText(s) {
			t.Errorf("text %q", s)
		}
	}
	maps := 0
	for _, campaign := range c.Campaigns {
		if !isText(campaign.Title) || campaign.Title == "" || len(campaign.Modes) == 0 || len(campaign.Modes) > maxModes {
			t.Errorf("campaign %+v", campaign)
		}
		for _, mode := range campaign.Modes {
			if !regexp.MustCompile(`^[a-z0-9_]{1,64}$`).MatchString(mode.Name) || len(mode.Maps) == 0 {
				t.Errorf("mode %+v", mode)
			}
			for _, m := range mode.Maps {
				maps++
				if !allowed.MatchString(m.Name) || !isText(m.Title) || m.Title == "" {
					t.Errorf("map %+v", m)
				}
			}
		}
	}
	if maps > maxMaps {
		t.Errorf("%d maps", maps)
	}
}
