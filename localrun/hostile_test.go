package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	game "left4me/shared/game/launch"
	"left4me/shared/route"
	servers "left4me/shared/server"
)

// hostile are texts that a shell, the game, SQL, JSON, HTML, a mount or systemd could take for more than text. What is accepted last stays, so
// the last ones have as much of it as names and passwords may have.
var hostile = []string{`"; quit; "`, `"`, "a\nquit", "a\r\nquit", ";quit", " +quit", "-port 1", "--help", "%i %h %%", "a:b", "a,b", "a=b", `\`, `\" quit`, `\n`,
	"$(reboot)", "`reboot`", "a && reboot", "a > b", "* ?", "'", "' OR 1=1 --", "<i id=injected>", "</textarea><i id=injected>", "//a", "../../etc/passwd", "a\x00b", "a\tb",
	"ü 🎮", "\u202eabc", "\xff", strings.Repeat("x", 255), strings.Repeat("ü", 64), `$HOME+%i:a,b'\=ü|&<i>*`, `-+'; quit; $(x) %i:a,b \" <i id=injected> | & ü //`, `-+'; quit; $(x) %i:a,b \ <i id=injected> | & ü //`}

// Whatever is typed into the forms of blueprints and servers, and whatever the files of an overlay are named, is refused or stays what it is:
// text on pages, in server.cfg, in the launch arguments, in the plan, and for the game.
//
// shows: P54 P58
func TestHostileValuesStayText(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d := dbtest.Open(t, db.FileURL(filepath.Join(root, "left4me.db")))
	s := startSite(t, d, []string{"LEFT4ME_ROOT=" + root, "SERVER_SUPERVISOR=none"}, []string{"localrun", "up"})
	addGame(t, d, root)
	h := &typist{t, s}
	h.post(route.BlueprintCreate.URL(), "name", "b")
	h.post(route.BlueprintAdd.URL(1), "overlay_id", fmt.Sprint(s.overlay))
	host, err := os.ReadFile(filepath.Join(root, "host.json"))
	var identity struct{ ID string }
	if err == nil {
		err = json.Unmarshal(host, &identity)
	}
	if err != nil {
		t.Fatal(err)
	}
	port := "24837"
	h.post(route.ServerCreate.URL(), "name", "s", "host_id", identity.ID, "port", port, "blueprint_id", "1")
	h.post(route.OverlayBuild.URL(s.overlay))

	h.typeInto(route.ServerList.URL(), route.ServerCreate.URL(), func(field string) bool { return field != "name" }) // that of the next form
	h.typeInto(route.ServerShow.URL(1), route.ServerChange.URL(1), nil)
	h.typeInto(route.BlueprintShow.URL(1), route.BlueprintSave.URL(1), nil)

	// The server's name is the one that the game shows if the blueprint has none. These are names of add-ons, too.
	addons := filepath.Join(root, "overlays", fmt.Sprint(s.overlay), "left4dead2", "addons")
	var files []string
	for _, name := range hostile {
		name = strings.NewReplacer("/", "_", "\x00", "_").Replace(name)
		name = name[:min(len(name), 251)] + ".vpk" // 255 bytes are possible
		write(t, filepath.Join(addons, name), "an add-on", 0o644)
		files = append(files, name)
	}
	slices.Sort(files)
	await(t, d, 0, `SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL`)
	for _, named := range []string{"blueprint", "server"} {
		page := h.page(route.BlueprintShow.URL(1))
		form := filledIn(page, route.BlueprintSave.URL(1))
		if named == "server" {
			form.Set("hostname", "")
			h.post(route.BlueprintSave.URL(1), pairs(form)...)
		}
		hostname := form.Get("hostname")
		if hostname == "" {
			hostname = strings.ReplaceAll(filledIn(h.page(route.ServerShow.URL(1)), route.ServerChange.URL(1)).Get("name"), `"`, "'")
		}
		h.post(route.ServerRestart.URL(1))
		await(t, d, 0, `SELECT COUNT(*) FROM jobs WHERE finished_at IS NULL`)
		await(t, d, 1, `SELECT COUNT(*) FROM servers WHERE state = 'running'`)

		run := filepath.Join(root, "servers/1/runs", fmt.Sprint(number64(t, d, `SELECT MAX(id) FROM runs`)))
		config, err := os.ReadFile(filepath.Join(run, "config/left4dead2/cfg/server.cfg"))
		if err != nil {
			t.Fatal(err)
		}
		settings, password, _ := strings.Cut(string(config), `rcon_password "`)
		if !regexp.MustCompile(`^[A-Z2-7]+"\n$`).MatchString(password) {
			t.Errorf("after the settings, server.cfg has %q", password)
		}
		h.config(settings, form, hostname)
		text, err := os.ReadFile(filepath.Join(run, "plan.json"))
		var plan game.Plan
		if err == nil {
			err = json.Unmarshal(text, &plan)
		}
		layers := []string{filepath.Join("servers/1/runs", filepath.Base(run), "config"), filepath.Join("overlays", fmt.Sprint(s.overlay))}
		if err != nil || !slices.Equal(plan.Layers, layers) || fmt.Sprint(plan.Port) != port {
			t.Errorf("the plan is %s, %v", text, err)
		}
		h.command(strings.Join(plan.Args, " "), form, port)

		console, err := os.ReadFile(filepath.Join(root, "servers/1/console.log"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{fmt.Sprintf("arguments %q", plan.Args), fmt.Sprintf("hostname is %q", hostname)} {
			if !strings.Contains(string(console), line+"\n") {
				t.Errorf("the game does not say %s:\n%s", line, console)
			}
		}
		var opened []string
		for _, m := range regexp.MustCompile(`(?m)^add-on (".*")$`).FindAllStringSubmatch(string(console), -1) {
			name, err := strconv.Unquote(m[1])
			if err != nil {
				t.Error(err)
			}
			opened = append(opened, name)
		}
		if slices.Sort(opened); !slices.Equal(opened, files) {
			t.Errorf("the game has opened %q, want %q", opened, files)
		}
		if mounts := mountsOfGame(t, port); !regexp.MustCompile(` /game .* - overlay overlay rw,lowerdir=0:1:2,upperdir=/proc/self/fd/\d+,workdir=/proc/self/fd/\d+(,[a-z_=]+)*\n`).MatchString(mounts) {
			t.Errorf("the mounts are %s", mounts)
		}
	}
	for _, path := range []string{route.ServerList.URL(), route.BlueprintList.URL(), route.JobList.URL(), route.ServerShow.URL(1), route.JobShow.URL(number64(t, d, `SELECT MAX(id) FROM jobs`))} {
		h.page(path)
	}
}

// mountsOfGame returns the mounts that the game on a port sees.
func mountsOfGame(t *testing.T, port string) string {
	t.Helper()
	pid, err := exec.Command("pgrep", "-x", "-f", "./srcds_linux .*-port "+port+" .*").Output()
	if err != nil {
		t.Fatal("the game does not run: ", err)
	}
	mounts, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(mounts)
}

// typist fills in forms.
type typist struct {
	*testing.T
	site site
}

// page opens a page, and checks that no text has become a part of it.
func (h *typist) page(path string) *goquery.Document {
	h.Helper()
	got := h.site.visitor.Get(path)
	want(h, got, http.StatusOK)
	if got.Page().Find("#injected").Length() != 0 {
		h.Errorf("%s: a text is an element of the page", path)
	}
	return got.Page()
}

func (h *typist) post(path string, form ...string) {
	h.Helper()
	if got := h.site.visitor.Post(path, form...); got.StatusCode != http.StatusSeeOther {
		h.Fatalf("%s %q: %s: %s", path, form, got.Status, got.Text("main"))
	}
}

// pairs returns the names and values of a form, in turn.
func pairs(form url.Values) (all []string) {
	for name, values := range form {
		all = append(all, name, values[0])
	}
	return all
}

// filledIn returns the form on a page that is sent to action, as a browser would send it.
func filledIn(page *goquery.Document, action string) url.Values {
	form := url.Values{}
	page.Find("form[action='" + action + "']").Find("input, select, textarea").Each(func(_ int, f *goquery.Selection) {
		name, value := f.AttrOr("name", ""), f.AttrOr("value", "")
		switch {
		case name == "" || name == "csrf_token":
			return
		case goquery.NodeName(f) == "textarea":
			value = strings.TrimPrefix(f.Text(), "\n")
		case goquery.NodeName(f) == "select":
			option := f.Find("option[selected]")
			if option.Length() == 0 {
				option = f.Find("option").First()
			}
			value = option.AttrOr("value", "")
		case f.AttrOr("type", "") == "checkbox":
			if _, checked := f.Attr("checked"); !checked {
				return
			}
		}
		form.Set(name, value)
	})
	return form
}

// policies are the restart policies of the fields of a server's form that only one policy uses.
var policies = map[string]string{"restart_time": string(servers.Daily), "restart_hours": string(servers.AtLatest)}

// typeInto types each hostile text into each field of the form on the page at path that is sent to action, if which says so. Either it is
// refused and nothing changes, or it is what the form has from then on.
func (h *typist) typeInto(path, action string, which func(field string) bool) {
	h.Helper()
	names := map[string]bool{} // also of boxes that are not ticked
	h.page(path).Find("form[action='" + action + "'] [name]").Each(func(_ int, f *goquery.Selection) { names[f.AttrOr("name", "")] = f.AttrOr("type", "") != "checkbox" })
	delete(names, "csrf_token")
	if len(names) < 3 {
		h.Fatalf("%s has no form to %s", path, action)
	}
	accepted := map[string]int{}
	for name, isText := range names {
		if which != nil && !which(name) {
			continue
		}
		for _, value := range hostile {
			before := filledIn(h.page(path), action)
			typed := url.Values{}
			for n, v := range before {
				typed[n] = v
			}
			typed.Set(name, value)
			if policy := policies[name]; policy != "" { // with any other, the field is ignored
				typed.Set("restart", policy)
			}
			got := h.site.visitor.Post(action, pairs(typed)...)
			page := h.page(path)
			after := filledIn(page, action)
			switch {
			case got.StatusCode >= 500:
				h.Errorf("%s: %s = %q: %s", action, name, value, got.Status)
			case got.StatusCode != http.StatusSeeOther:
				if fmt.Sprint(after) != fmt.Sprint(before) {
					h.Errorf("%s: %s = %q is refused, but the form was %q, is %q", action, name, value, before, after)
				}
				continue
			case isText && !slices.Equal(words(name, after.Get(name)), words(name, value)):
				h.Errorf("%s: %s = %q became %q", action, name, value, after.Get(name))
			}
			accepted[name]++
			for n := range names {
				if n != name && after.Get(n) != before.Get(n) {
					h.Errorf("%s: %s = %q changed %s from %q to %q", action, name, value, n, before.Get(n), after.Get(n))
				}
			}
			if config := page.Find("#config"); config.Length() == 1 {
				h.config(config.Text(), after, after.Get("hostname"))
				h.command(strings.TrimPrefix(page.Find("#command").Text(), "./srcds_run "), after, "27015")
			}
		}
	}
	h.Logf("%s: texts of %d that are accepted: %v", action, len(hostile), accepted)
}

// words returns what a form has of a text that is typed into a field: the lines or words of fields that take several, else the text
// without spaces around it.
func words(field, text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	switch field {
	case "lines":
		return strings.Split(strings.TrimRight(text, " \t\n"), "\n")
	case "groups", "tags":
		return strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" ,;\n\r\t", c) })
	case "arguments":
		return strings.Fields(text)
	}
	return []string{strings.TrimSpace(text)}
}

// config checks a server.cfg: nothing but the further lines of the form, and after them the settings.
func (h *typist) config(text string, form url.Values, hostname string) {
	h.Helper()
	var lines []string
	if l := form.Get("lines"); l != "" {
		lines = words("lines", l)
	}
	got := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	settings := []string{"hostname", "sv_password", "mp_gamemode", "sv_gametypes", "sv_steamgroup", "sv_steamgroup_exclusive", "sv_region", "sv_tags",
		"sv_allow_lobby_connect_only", "sv_consistency", "sv_lan"}
	if len(got) != 1+len(lines)+len(settings) || !strings.HasPrefix(got[0], "//") || !slices.Equal(got[1:1+len(lines)], lines) {
		h.Errorf("server.cfg is %q, with the lines %q", text, lines)
		return
	}
	values := map[string]string{}
	for n, name := range settings {
		line := got[1+len(lines)+n]
		m := regexp.MustCompile(`^(\S+) "([^"]*)"$`).FindStringSubmatch(line)
		if m == nil || m[1] != name {
			h.Errorf("server.cfg has %q for %s", line, name)
			return
		}
		values[name] = m[2]
	}
	for name, want := range map[string]string{"hostname": hostname, "sv_password": form.Get("password"), "mp_gamemode": form.Get("mode"), "sv_tags": strings.Join(words("tags", form.Get("tags")), ",")} {
		if want != "" && values[name] != want {
			h.Errorf("%s is %q, want %q", name, values[name], want)
		}
	}
}

// command checks the arguments of srcds_run, whose shell splits them at spaces.
func (h *typist) command(args string, form url.Values, port string) {
	h.Helper()
	want := fmt.Sprintf("-game left4dead2 -console -norestart -strictportbind -ip 0.0.0.0 -port %s -maxplayers %s +mp_gamemode %s +map %s", port, form.Get("slots"), form.Get("mode"), form.Get("map"))
	for _, more := range words("arguments", form.Get("arguments")) {
		want += " " + more
	}
	if args != want || strings.ContainsAny(args, "'\"\\$`&;|<>*?()[]{}~#!\n") {
		h.Errorf("the arguments are %q, want %q", args, want)
	}
}
