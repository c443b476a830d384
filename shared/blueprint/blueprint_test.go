package blueprint_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/shared/account"
	"left4me/shared/blueprint"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/overlay"
	"left4me/shared/problem"
	"left4me/shared/workshop"
)

type fixture struct {
	*blueprint.Store
	db                *db.DB
	overlays          *overlay.Store
	admin, anna, bert account.User
}

func setUp(t *testing.T, open dbtest.Backend) fixture {
	t.Helper()
	d := open(t)
	dbtest.AddHost(t, d, "here", time.Now())
	jobs := jobstore.NewStore(d, time.Now)
	w := fixture{Store: blueprint.NewStore(d, time.Now, jobs), db: d, overlays: overlay.NewStore(d, time.Now, jobs)}
	people := account.NewStore(d, time.Now)
	for _, u := range []struct {
		name  string
		admin bool
		into  *account.User
	}{{"root", true, &w.admin}, {"anna", false, &w.anna}, {"bert", false, &w.bert}} {
		made, err := people.Create(t.Context(), u.name, "a password", u.admin)
		if err != nil {
			t.Fatal(err)
		}
		*u.into = made
	}
	return w
}

func (w fixture) make(t *testing.T, u account.User, name string, system bool) blueprint.Blueprint {
	t.Helper()
	id, err := w.Create(t.Context(), u, name, system)
	if err != nil {
		t.Fatal(err)
	}
	return w.get(t, id)
}

func (w fixture) get(t *testing.T, id int64) blueprint.Blueprint {
	t.Helper()
	b, err := w.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (w fixture) overlay(t *testing.T, u account.User, name string, typ *overlay.Type) int64 {
	t.Helper()
	id, err := w.overlays.Create(t.Context(), u, name, typ.Name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// stack are the names of a blueprint's overlays, from the top.
func (w fixture) stack(t *testing.T, id int64) string {
	t.Helper()
	layers, err := w.Stack(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range layers {
		names = append(names, l.Name)
	}
	return strings.Join(names, " ")
}

func wantStatus(t *testing.T, what string, err error, status int) {
	t.Helper()
	got := 0
	if p, ok := problem.As(err); ok {
		got = p.Status
	} else if err != nil {
		t.Fatal(what, err)
	}
	if got != status {
		t.Errorf("%s: %v, want a problem with status %d", what, err, status)
	}
}

func TestNamesAndScope(t *testing.T) { dbtest.Each(t, testNamesAndScope) }

func testNamesAndScope(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	ctx := t.Context()
	annas := w.make(t, w.anna, " Friday ", false)
	all := w.make(t, w.admin, "Friday", true)
	w.make(t, w.bert, "Friday", false)
	if annas.Name != "Friday" || annas.OwnerName != "anna" || all.OwnerID != 0 {
		t.Errorf("%+v, %+v", annas, all)
	}
	for what, c := range map[string]struct {
		u      account.User
		name   string
		system bool
		status int
	}{
		"no name":                         {w.anna, " ", false, http.StatusBadRequest},
		"a name of 65 characters":         {w.anna, strings.Repeat("ä", 65), false, http.StatusBadRequest},
		"a name that she has already":     {w.anna, "Friday", false, http.StatusConflict},
		"a name that everybody's has":     {w.admin, "Friday", true, http.StatusConflict},
		"for everybody, by somebody else": {w.anna, "Sunday", true, http.StatusForbidden},
	} {
		_, err := w.Create(ctx, c.u, c.name, c.system)
		wantStatus(t, what, err, c.status)
	}
	for what, c := range map[string]struct {
		b             blueprint.Blueprint
		u             account.User
		visible, edit bool
	}{
		"own": {annas, w.anna, true, true}, "of another": {annas, w.bert, false, false}, "of another, administrator": {annas, w.admin, true, true},
		"everybody's": {all, w.bert, true, false}, "everybody's, administrator": {all, w.admin, true, true},
	} {
		refusals := map[bool]int{true: 0, false: http.StatusForbidden}
		wantStatus(t, what+", see", c.b.Visible(c.u), refusals[c.visible])
		wantStatus(t, what+", change", c.b.Editable(c.u), refusals[c.edit])
	}
	for u, want := range map[*account.User]string{&w.anna: "anna/Friday /Friday", &w.bert: "/Friday bert/Friday", &w.admin: "anna/Friday /Friday bert/Friday"} {
		page, err := w.List(ctx, *u, list.Query{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range page.Rows {
			got = append(got, b.OwnerName+"/"+b.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s sees %q, want %q", u.Name, got, want)
		}
	}
	other := w.make(t, w.anna, "other", false)
	wantStatus(t, "rename to her other's", w.Save(ctx, w.anna, other, "Friday", other.Settings), http.StatusConflict)
	wantStatus(t, "rename", w.Save(ctx, w.anna, other, "Sunday", other.Settings), 0)
	if got := w.get(t, other.ID).Name; got != "Sunday" {
		t.Errorf("it is named %q", got)
	}
	wantStatus(t, "delete", w.Delete(ctx, other.ID), 0)
	wantStatus(t, "delete again", w.Delete(ctx, other.ID), http.StatusNotFound)
	wantStatus(t, "rename what is gone", w.Save(ctx, w.anna, other, "x", other.Settings), http.StatusNotFound)
	_, err := w.Get(ctx, other.ID)
	wantStatus(t, "get what is gone", err, http.StatusNotFound)
	if again := w.make(t, w.anna, "again", false); again.ID == other.ID {
		t.Error("an id came back")
	}
}

func TestLimitOfBlueprints(t *testing.T) {
	w := setUp(t, dbtest.New)
	w.anna.Limits = &account.Limits{Overlays: 1, ActionsPerMinute: 100}
	w.make(t, w.anna, "one", false)
	_, err := w.Create(t.Context(), w.anna, "two", false)
	wantStatus(t, "beyond the limit", err, http.StatusTooManyRequests)
}

func TestStack(t *testing.T) { dbtest.Each(t, testStack) }

func testStack(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	ctx := t.Context()
	b := w.make(t, w.anna, "b", false)
	ids := map[string]int64{}
	for _, name := range []string{"d", "c", "b", "a"} {
		ids[name] = w.overlay(t, w.anna, name, overlay.Workshop)
		wantStatus(t, "add "+name, w.Add(ctx, w.anna, b.ID, ids[name]), 0)
	}
	want := func(stack string) {
		t.Helper()
		if got := w.stack(t, b.ID); got != stack {
			t.Errorf("the stack is %s, want %s", got, stack)
		}
	}
	want("a b c d")
	for _, c := range []struct {
		name string
		to   int
		want string
	}{{"d", 1, "d a b c"}, {"d", 4, "a b c d"}, {"b", 3, "a c b d"}, {"b", 2, "a b c d"}, {"c", 3, "a b c d"}, {"a", 99, "b c d a"}, {"a", -5, "a b c d"}} {
		wantStatus(t, "move "+c.name, w.Move(ctx, b.ID, ids[c.name], c.to), 0)
		want(c.want)
	}
	wantStatus(t, "add again", w.Add(ctx, w.anna, b.ID, ids["c"]), http.StatusConflict)
	wantStatus(t, "take out", w.Remove(ctx, b.ID, ids["b"]), 0)
	wantStatus(t, "take out again", w.Remove(ctx, b.ID, ids["b"]), http.StatusNotFound)
	wantStatus(t, "move what is not there", w.Move(ctx, b.ID, ids["b"], 1), http.StatusNotFound)
	want("a c d")
	wantStatus(t, "move after a gap", w.Move(ctx, b.ID, ids["d"], 2), 0)
	want("a d c")

	berts, external := w.overlay(t, w.bert, "berts", overlay.Workshop), w.overlay(t, w.admin, "plugins", overlay.External)
	wantStatus(t, "an overlay of another", w.Add(ctx, w.anna, b.ID, berts), http.StatusNotFound)
	wantStatus(t, "an overlay of another, by an administrator", w.Add(ctx, w.admin, b.ID, berts), 0)
	wantStatus(t, "a system-wide overlay", w.Add(ctx, w.anna, b.ID, external), 0)
	wantStatus(t, "no overlay", w.Add(ctx, w.admin, b.ID, 99), http.StatusNotFound)
	want("plugins berts a d c")
	choices, err := w.Choices(ctx, w.anna, b.ID)
	if err != nil || len(choices) != 1 || choices[0].Name != "b" {
		t.Errorf("choices %v, %v", choices, err)
	}

	_, err = w.overlays.Delete(ctx, w.anna, ids["a"])
	wantStatus(t, "delete an overlay in a stack", err, http.StatusConflict)
	if err == nil || !strings.Contains(err.Error(), "“b” of anna") {
		t.Errorf("the refusal is %v", err)
	}
	wantStatus(t, "take it out", w.Remove(ctx, b.ID, ids["a"]), 0)
	_, err = w.overlays.Delete(ctx, w.anna, ids["a"])
	wantStatus(t, "delete it", err, 0)
	wantStatus(t, "add a deleted overlay", w.Add(ctx, w.anna, b.ID, ids["a"]), http.StatusNotFound)
	wantStatus(t, "delete the blueprint", w.Delete(ctx, b.ID), 0)
	want("")
}

func TestAStackHasALimit(t *testing.T) {
	w := setUp(t, dbtest.New)
	b := w.make(t, w.admin, "b", true)
	for n := range blueprint.MaxLayers + 1 {
		err := w.Add(t.Context(), w.admin, b.ID, w.overlay(t, w.admin, fmt.Sprint(n), overlay.External))
		status := 0
		if n == blueprint.MaxLayers {
			status = http.StatusBadRequest
		}
		wantStatus(t, fmt.Sprint("overlay ", n), err, status)
	}
}

func TestAddedOverlaysAreCompared(t *testing.T) { dbtest.Each(t, testAddedOverlaysAreCompared) }

// An overlay that joins others is built, which compares it with them, unless that was done since the last builds.
func testAddedOverlaysAreCompared(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	b := w.make(t, w.anna, "b", false)
	first, second := w.overlay(t, w.anna, "first", overlay.Workshop), w.overlay(t, w.anna, "second", overlay.Workshop)
	add := func(about string, overlayID int64, builds int) {
		t.Helper()
		exec := func(statement string) {
			t.Helper()
			if _, err := w.db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		exec(`DELETE FROM jobs`)
		if err := w.Add(t.Context(), w.anna, b.ID, overlayID); err != nil {
			t.Fatal(err)
		}
		n, err := db.Row(t.Context(), w.db, db.Value[int], `SELECT COUNT(*) FROM jobs WHERE operation = 'build_overlay' AND subject_id = :overlay`, sql.Named("overlay", overlayID))
		if err != nil || n != builds {
			t.Errorf("%s: %d builds, %v, want %d", about, n, err, builds)
		}
	}
	compared := func(names ...string) {
		t.Helper()
		pairs := [][2]int64{{first, first}, {second, second}, {first, second}}
		for n, name := range names {
			if err := workshop.SaveConflicts(t.Context(), w.db, []workshop.Comparison{{OverlayID: pairs[n][0], OtherID: pairs[n][1], Files: name}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Remove(t.Context(), b.ID, second); err != nil {
			t.Fatal(err)
		}
	}
	add("alone", first, 0)
	add("never compared", second, 1)
	compared("x", "y")
	add("not compared with each other", second, 1)
	compared("x", "y", "x y")
	add("compared", second, 0)
	compared("x2", "y", "x y")
	add("changed since", second, 1)
}

func TestSettingsAreStored(t *testing.T) { dbtest.Each(t, testSettingsAreStored) }

func testSettingsAreStored(t *testing.T, open dbtest.Backend) {
	w := setUp(t, open)
	ctx := t.Context()
	b := w.make(t, w.anna, "b", false)
	if err := b.Settings.Check(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	set := full()
	wantStatus(t, "launch arguments, by somebody", w.Save(ctx, w.anna, b, b.Name, set), http.StatusForbidden)
	wantStatus(t, "launch arguments, by an administrator", w.Save(ctx, w.admin, b, b.Name, set), 0)
	b = w.get(t, b.ID)
	if fmt.Sprint(b.Settings) != fmt.Sprint(set) {
		t.Errorf("stored %+v, want %+v", b.Settings, set)
	}
	set.Hostname = "changed"
	wantStatus(t, "the rest, by somebody", w.Save(ctx, w.anna, b, b.Name, set), 0)
	set.Slots = 0
	wantStatus(t, "no slots", w.Save(ctx, w.anna, b, b.Name, set), http.StatusBadRequest)
	if got := w.get(t, b.ID).Settings; got.Hostname != "changed" || got.Slots != 20 {
		t.Errorf("stored %+v", got)
	}
	// A row of an older version, which did not know some settings.
	if _, err := w.db.ExecContext(ctx, `UPDATE blueprints SET settings = '{"mode":"versus"}'`); err != nil {
		t.Fatal(err)
	}
	if got := w.get(t, b.ID).Settings; got.Mode != "versus" || got.Map != blueprint.Default().Map || got.Region != blueprint.World {
		t.Errorf("read %+v", got)
	}
}

// full are settings of which each differs from its zero value.
func full() blueprint.Settings {
	return blueprint.Settings{Hostname: "Ann's; //quit 100%i +map", Mode: "mutation12", Map: "l4d2_city.17", Slots: 20, Password: "pässword", Groups: []string{"103582791429521412"},
		Exclusive: true, Region: 3, Tags: []string{"hard", "friends"}, LobbyOnly: true, Consistency: true, Lines: []string{`sv_cheats "0"; z_difficulty Hard`, ""},
		Arguments: []string{"-tickrate", "60"}}
}

func TestEachSettingIsChecked(t *testing.T) {
	if err := full().Check(); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 65)
	for what, c := range map[string]struct {
		set  func(*blueprint.Settings)
		says string
	}{
		"quote in name":          {func(s *blueprint.Settings) { s.Hostname = `a" ; quit; "` }, `cannot have the character "`},
		"newline in name":        {func(s *blueprint.Settings) { s.Hostname = "a\nquit" }, "cannot be shown"},
		"long name":              {func(s *blueprint.Settings) { s.Hostname = long }, "at most 64"},
		"not UTF-8":              {func(s *blueprint.Settings) { s.Hostname = "\xff" }, "cannot be shown"},
		"quote in password":      {func(s *blueprint.Settings) { s.Password = `"` }, `cannot have the character "`},
		"space in password":      {func(s *blueprint.Settings) { s.Password = "a b" }, "no spaces"},
		"semicolon in password":  {func(s *blueprint.Settings) { s.Password = "a;b" }, "no semicolon"},
		"no mode":                {func(s *blueprint.Settings) { s.Mode = "" }, "game mode"},
		"two modes":              {func(s *blueprint.Settings) { s.Mode = "coop +quit" }, "game mode"},
		"no map":                 {func(s *blueprint.Settings) { s.Map = "" }, "name of a map"},
		"map and more":           {func(s *blueprint.Settings) { s.Map = "c1m1_hotel +quit" }, "name of a map"},
		"map with a path":        {func(s *blueprint.Settings) { s.Map = "../c1m1_hotel" }, "name of a map"},
		"no slots":               {func(s *blueprint.Settings) { s.Slots = 0 }, "1 to 31"},
		"many slots":             {func(s *blueprint.Settings) { s.Slots = 32 }, "1 to 31"},
		"group is no number":     {func(s *blueprint.Settings) { s.Groups = []string{"friends"} }, "Steam group"},
		"exclusive for nobody":   {func(s *blueprint.Settings) { s.Groups = nil }, "no group is named"},
		"unknown region":         {func(s *blueprint.Settings) { s.Region = 8 }, "region 8"},
		"tag of two words":       {func(s *blueprint.Settings) { s.Tags = []string{"a b"} }, "not a tag"},
		"many tags":              {func(s *blueprint.Settings) { s.Tags = slices.Repeat([]string{"12345678"}, 8) }, "63"},
		"line with a newline":    {func(s *blueprint.Settings) { s.Lines = []string{"a\nb"} }, "cannot be shown"},
		"line without its quote": {func(s *blueprint.Settings) { s.Lines = []string{`say "hello`} }, `lacks a second "`},
		"long line":              {func(s *blueprint.Settings) { s.Lines = []string{strings.Repeat("x", 501)} }, "500 bytes"},
		"many lines":             {func(s *blueprint.Settings) { s.Lines = make([]string, 201) }, "200"},
		"argument with a star":   {func(s *blueprint.Settings) { s.Arguments = []string{"*"} }, "start script"},
		"argument of two words":  {func(s *blueprint.Settings) { s.Arguments = []string{"a b"} }, "start script"},
		"argument of ours":       {func(s *blueprint.Settings) { s.Arguments = []string{"-PORT", "1"} }, "left4me's own"},
		"many arguments":         {func(s *blueprint.Settings) { s.Arguments = slices.Repeat([]string{"-x"}, 33) }, "32"},
	} {
		s := full()
		c.set(&s)
		err := s.Check()
		var p *problem.Problem
		if !errors.As(err, &p) || p.Status != http.StatusBadRequest || !strings.Contains(p.Sentence, c.says) {
			t.Errorf("%s: %v, want “%s”", what, err, c.says)
		}
	}
}

// commands are the commands that the game finds in a configuration file, each with its words. It splits lines and, outside quotation marks,
// at semicolons; `//` starts a comment outside them (Source's CCommandBuffer and CCommand::Tokenize).
func commands(text string) (all [][]string) {
	var words []string
	var word strings.Builder
	inWord, quoted, comment := false, false, false
	endWord := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			all = append(all, words)
		}
		words = nil
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n':
			endCommand()
			quoted, comment = false, false
		case comment:
		case c == '"':
			endWord()
			quoted = !quoted
			inWord = quoted
		case quoted:
			word.WriteByte(c)
		case c == ';':
			endCommand()
		case c == '/' && i+1 < len(text) && text[i+1] == '/':
			comment = true
		case c <= ' ':
			endWord()
		default:
			inWord = true
			word.WriteByte(c)
		}
	}
	endCommand()
	return all
}

func TestTheGameReadsWhatWasMeant(t *testing.T) {
	s := full()
	got := commands(string(s.ServerConfig("ignored")))
	want := [][]string{{"sv_cheats", "0"}, {"z_difficulty", "Hard"}, {"hostname", s.Hostname}, {"sv_password", s.Password}, {"mp_gamemode", "mutation12"},
		{"sv_gametypes", "mutation12"}, {"sv_steamgroup", "103582791429521412"}, {"sv_steamgroup_exclusive", "1"}, {"sv_region", "3"},
		{"sv_tags", "hard,friends"}, {"sv_allow_lobby_connect_only", "1"}, {"sv_consistency", "1"}, {"sv_lan", "0"}}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("it reads\n%q, want\n%q", got, want)
	}
	if got := commands(string(blueprint.Default().ServerConfig(`Ann's "best" server`)))[0]; got[1] != `Ann's 'best' server` {
		t.Errorf("without a name, it reads %q", got)
	}
	arguments := strings.Join(s.LaunchArguments(27016), " ")
	if want := "-game left4dead2 -console -norestart -strictportbind -ip 0.0.0.0 -port 27016 -maxplayers 20 +mp_gamemode mutation12 +map l4d2_city.17 -tickrate 60"; arguments != want {
		t.Errorf("arguments %s, want %s", arguments, want)
	}
	if strings.Contains(arguments, s.Password) {
		t.Error("the password is an argument")
	}
}

// FuzzSettings checks that values which pass Check are only ever values.
func FuzzSettings(f *testing.F) {
	f.Add("name", "secret", "coop", "c1m1_hotel", "a", "7", "-x")
	f.Add(`"; quit; "`, "a;b", "coop;quit", "x +quit", "a,b", "1;2", "$(reboot)")
	f.Add("// x", `\"`, "mutation1", "a\\", "ä", "", "%i")
	names := []string{"hostname", "sv_password", "mp_gamemode", "sv_gametypes", "sv_steamgroup", "sv_steamgroup_exclusive", "sv_region", "sv_tags",
		"sv_allow_lobby_connect_only", "sv_consistency", "sv_lan"}
	f.Fuzz(func(t *testing.T, hostname, password, mode, firstMap, tag, group, argument string) {
		s := blueprint.Default()
		s.Hostname, s.Password, s.Mode, s.Map = hostname, password, mode, firstMap
		s.Tags, s.Groups, s.Arguments = []string{tag}, []string{group}, []string{argument}
		if s.Check() != nil {
			return
		}
		var got []string
		for _, words := range commands(string(s.ServerConfig(`a"b`))) {
			got = append(got, words[0])
			if len(words) != 2 {
				t.Errorf("the command %q", words)
			}
			if words[0] == "hostname" && hostname != "" && words[1] != hostname {
				t.Errorf("the name %q is read as %q", hostname, words[1])
			}
		}
		if !slices.Equal(got, names) {
			t.Errorf("commands %q", got)
		}
		if all := strings.Join(s.LaunchArguments(1), " "); len(strings.Fields(all)) != 16 || strings.ContainsAny(all, "\"'`$*?[]{}()<>|&;~#!\\\n%") {
			t.Errorf("arguments %q", all)
		}
	})
}
