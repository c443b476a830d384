package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"left4me/shared/account"
	"left4me/shared/job"
	"left4me/shared/overlay"
	"left4me/shared/route"
)

const root = "../.."

// mayImport lists the packages of ours that each package may import. A pattern that ends in … matches all packages below it.
// Imports of tests are not limited. The test fails for a package without a row.
var mayImport = map[string]string{
	"functions/…":                    "shared/… templates/…",
	"infra/contract":                 "",
	"infra/gen":                      "shared/job shared/route shared/settings templates/assets",
	"infra/layout":                   "",
	"infra/measures":                 "",
	"infra/openapi":                  "shared/api shared/route templates/account templates/admin templates/blueprint templates/job templates/overlay templates/server templates/webhook",
	"infra/starts":                   "shared/account shared/db shared/db/dbtest shared/db/migrations shared/job shared/jobstore shared/overlay shared/route",
	"infra/starts/minimal":           "",
	"infra/testreport":               "",
	"localrun":                       "localrun/… shared/… templates/page",
	"localrun/agent":                 "localrun/lambdahost shared/job shared/jobstore shared/wake",
	"localrun/backup":                "shared/account shared/db shared/db/dbfile shared/db/migrations shared/durable shared/game shared/game/launch shared/host shared/job shared/jobstore shared/overlay shared/owned shared/workshop",
	"localrun/doctor":                "shared/account shared/db shared/db/migrations shared/game shared/game/control shared/game/supervisor shared/host shared/job shared/jobstore shared/overlay shared/owned shared/route shared/server shared/settings",
	"localrun/fsck":                  "localrun/watch shared/builder shared/db shared/game/launch shared/game/serverdir shared/game/supervisor shared/job shared/jobstore shared/linkfarm shared/overlay shared/owned shared/server shared/settings shared/steam shared/vpkcache shared/workshop",
	"localrun/gateway":               "localrun/lambdahost shared/route",
	"localrun/heartbeat":             "shared/game/supervisor shared/garbage shared/host shared/settings shared/vpkcache shared/workshop",
	"localrun/lambdahost":            "shared/text",
	"localrun/lambdahost/testdata/…": "",
	"localrun/metrics":               "localrun/agent localrun/lambdahost shared/host shared/job shared/jobstore shared/server shared/steam",
	"localrun/schedule":              "shared/job",
	"localrun/sdnotify":              "",
	"localrun/watch":                 "shared/account shared/db shared/game/control shared/game/launch shared/game/serverdir shared/game/supervisor shared/server shared/text shared/wake",
	"shared/account":                 "shared/db shared/list shared/problem shared/text",
	"shared/api":                     "shared/route",
	"shared/address":                 "",
	"shared/awsapi":                  "",
	"shared/blueprint":               "shared/account shared/db shared/jobstore shared/list shared/overlay shared/problem shared/text",
	"shared/builder":                 "shared/db shared/durable shared/jobstore shared/linkfarm shared/overlay shared/owned shared/settings shared/steam shared/text shared/vpk shared/vpkcache shared/workshop",
	"shared/db":                      "",
	"shared/db/dbfile":               "shared/db shared/durable",
	"shared/db/dbtest":               "shared/db shared/db/migrations",
	"shared/db/dbtest/libsqld":       "shared/db/dbtest",
	"shared/db/migrations":           "shared/db",
	"shared/durable":                 "",
	"shared/fn":                      "shared/db shared/host shared/job shared/jobstore shared/secret shared/settings shared/wake shared/wake/queue",
	"shared/fn/lambdahttp":           "",
	"shared/game":                    "shared/builder shared/db shared/durable shared/job shared/jobstore shared/problem shared/settings shared/text",
	"shared/game/gametest":           "",
	"shared/game/gametest/steamcmd":  "shared/game/gametest",
	"shared/game/gametest/srcds":     "shared/game/gametest",
	"shared/game/launch":             "shared/durable",
	"shared/game/supervisor":         "shared/durable shared/game/launch shared/settings",
	"shared/game/a2s":                "",
	"shared/game/rcon":               "",
	"shared/game/live":               "shared/game/a2s shared/game/rcon shared/game/serverdir shared/server shared/text",
	"shared/game/autorestart":        "shared/job shared/server",
	"shared/game/control":            "shared/account shared/blueprint shared/db shared/game shared/game/a2s shared/game/launch shared/game/serverdir shared/game/supervisor shared/jobstore shared/overlay shared/problem shared/server shared/settings shared/text",
	"shared/game/serverdir":          "shared/durable shared/game/launch shared/jobstore shared/linkfarm shared/owned shared/server shared/vpkcache",
	"shared/garbage":                 "shared/builder shared/durable shared/jobstore shared/linkfarm shared/steam shared/text shared/vpkcache shared/workshop",
	"shared/host":                    "shared/db shared/durable shared/job shared/jobstore shared/overlay shared/problem",
	"shared/job":                     "",
	"shared/jobstore":                "shared/db shared/job shared/list shared/text",
	"shared/linkfarm":                "shared/durable shared/text",
	"shared/list":                    "shared/db shared/problem",
	"shared/overlay":                 "shared/account shared/db shared/job shared/jobstore shared/list shared/problem shared/webhook",
	"shared/owned":                   "shared/durable shared/jobstore",
	"shared/problem":                 "",
	"shared/route":                   "",
	"shared/secret":                  "shared/awsapi",
	"shared/server":                  "shared/account shared/blueprint shared/db shared/host shared/job shared/jobstore shared/list shared/overlay shared/problem shared/text shared/vpk shared/webhook",
	"shared/settings":                "shared/account shared/db shared/steam",
	"shared/steam":                   "shared/address",
	"shared/steam/steamtest":         "",
	"shared/steam/steamtest/steamd":  "shared/game/gametest shared/steam/steamtest",
	"shared/text":                    "",
	"shared/vpk":                     "shared/text",
	"shared/vpkcache":                "shared/durable shared/steam shared/vpk",
	"shared/wake":                    "",
	"shared/wake/queue":              "shared/awsapi",
	"shared/wake/queue/poll":         "shared/wake shared/wake/queue",
	"shared/wake/queue/queuetest":    "shared/wake/queue",
	"shared/webhook":                 "shared/account shared/address shared/db shared/job shared/jobstore shared/list shared/problem shared/route",
	"shared/workshop":                "shared/account shared/db shared/jobstore shared/list shared/overlay shared/problem shared/steam shared/text shared/vpk shared/webhook",
	"templates/account":              "shared/account shared/route templates/page templates/web",
	"templates/admin":                "shared/account shared/fn shared/game shared/host shared/job shared/jobstore shared/list shared/overlay shared/route shared/workshop templates/job templates/page templates/web templates/webhook",
	"templates/assets":               "shared/route",
	"templates/blueprint":            "shared/account shared/blueprint shared/db shared/fn shared/list shared/overlay shared/problem shared/route shared/workshop templates/overlay templates/page templates/web",
	"templates/browsertest":          "templates/assets",
	"templates/fntest":               "shared/… templates/…",
	"templates/job":                  "shared/account shared/host shared/job shared/jobstore shared/list shared/problem shared/route templates/page templates/web",
	"templates/overlay":              "shared/account shared/db shared/fn shared/host shared/job shared/jobstore shared/list shared/overlay shared/problem shared/route shared/steam shared/text shared/vpk shared/workshop templates/job templates/page templates/web templates/webhook",
	"templates/page":                 "shared/account shared/list shared/route templates/assets",
	"templates/pagetest":             "shared/list shared/route",
	"templates/web":                  "shared/account shared/api shared/db shared/fn shared/fn/lambdahttp shared/job shared/jobstore shared/problem shared/route templates/page",
	"templates/server":               "shared/account shared/blueprint shared/db shared/fn shared/job shared/jobstore shared/list shared/problem shared/route shared/server shared/vpk templates/job templates/page templates/web templates/webhook",
	"templates/webhook":              "shared/account shared/fn shared/job shared/list shared/problem shared/route shared/webhook templates/page templates/web",
	"templates/webtest":              "",
}

func matches(patterns, pkg string) bool {
	for pattern := range strings.FieldsSeq(patterns) {
		prefix, below := strings.CutSuffix(pattern, "…")
		if pkg == pattern || below && strings.HasPrefix(pkg, prefix) {
			return true
		}
	}
	return false
}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], "left4me/")
		row := ""
		for pattern := range mayImport {
			if matches(pattern, pkg) && len(pattern) > len(row) {
				row = pattern
			}
		}
		if row == "" {
			t.Errorf("package %s has no row in mayImport: decide what it may import", pkg)
			continue
		}
		used[row] = true
		for _, imported := range fields[1:] {
			ours, ok := strings.CutPrefix(imported, "left4me/")
			if ok && !matches(mayImport[row], ours) {
				t.Errorf("package %s imports %s, which its row in mayImport does not allow", pkg, ours)
			}
		}
	}
	for row := range mayImport {
		if !used[row] && !strings.Contains(row, "testdata") {
			t.Errorf("mayImport has a row for %s, but there is no such package", row)
		}
	}
}

// A function's folder has its name in a table, and its main passes that row to templates/web or shared/fn.
func TestFoldersAndTablesAgree(t *testing.T) {
	want := map[string]string{} // folder to the call in its main
	routes := variables(t, "shared/route/route.go")
	for _, r := range route.All() {
		want[r.Name] = "web.HTTP(route." + routes[r.Name] + ", build)"
	}
	operations := variables(t, "shared/job/job.go")
	for _, o := range job.Runnable() {
		want[o.Function] = "fn.Job(job." + operations[o.Name] + ", build)"
	}
	schedules := variables(t, "shared/job/schedule.go")
	for _, s := range job.Schedules() {
		want[s.Function] = "fn.Schedule(job." + schedules[s.Name] + ")"
	}
	checks := variables(t, "shared/job/check.go")
	for _, c := range job.Checks() {
		want[c.Function] = "fn.Check(job." + checks[c.Name] + ", build)"
	}
	folders, err := os.ReadDir(filepath.Join(root, "functions"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		call, known := want[f.Name()]
		if !known {
			t.Errorf("functions/%s is in no table", f.Name())
			continue
		}
		delete(want, f.Name())
		text, err := os.ReadFile(filepath.Join(root, "functions", f.Name(), "main.go"))
		if err != nil {
			t.Error(err)
			continue
		}
		if line := fmt.Sprintf("\nfunc main() { %s }\n", call); !strings.Contains(string(text), line) {
			t.Errorf("functions/%s/main.go has no line %q", f.Name(), strings.TrimSpace(line))
		}
	}
	for name := range want {
		t.Errorf("a table names function %s, and there is no folder functions/%s", name, name)
	}
}

// A variable that holds a row is also in the list that everything else reads.
func TestEveryRowIsInItsTable(t *testing.T) {
	var routes, operations, schedules, checks, types []string
	for _, r := range route.All() {
		routes = append(routes, r.Name)
	}
	for _, o := range job.All() {
		operations = append(operations, o.Name)
	}
	for _, s := range job.Schedules() {
		schedules = append(schedules, s.Name)
	}
	for _, c := range job.Checks() {
		checks = append(checks, c.Name)
	}
	for _, o := range overlay.Types(account.User{Admin: true}) {
		types = append(types, o.Name)
	}
	for file, listed := range map[string][]string{
		"shared/route/route.go": routes, "shared/job/job.go": operations, "shared/job/schedule.go": schedules, "shared/job/check.go": checks, "shared/overlay/type.go": types,
	} {
		rows := variables(t, file)
		for name, variable := range rows {
			if !slices.Contains(listed, name) {
				t.Errorf("%s: the row %s (%s) is not in the table's list", file, variable, name)
			}
		}
		if len(rows) != len(listed) {
			t.Errorf("%s: %d rows, %d of them listed", file, len(rows), len(listed))
		}
	}
}

// Package fn wakes the host agent only for jobs that were enqueued through its own job store.
func TestFunctionsUseTheJobStoreOfTheirProcess(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "functions", "*", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") && strings.Contains(string(text), "jobstore.NewStore(") {
			t.Errorf("%s creates another job store: use fn.Env.Jobs", file)
		}
	}
}

// variables maps the name of each row of a table to the Go variable that holds it.
func variables(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if decl, ok := n.(*ast.GenDecl); ok && decl.Tok != token.VAR {
			return false
		}
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		var name string // the first string of the row
		ast.Inspect(spec.Values[0], func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && name == "" {
				name, _ = strconv.Unquote(lit.Value) // it was parsed before
			}
			return name == ""
		})
		if name != "" {
			found[name] = spec.Names[0].Name
		}
		return true
	})
	return found
}

func TestRoutesDoNotConflict(t *testing.T) {
	mux := http.NewServeMux()
	for _, r := range route.All() {
		func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("route %s: %v", r.Name, p)
				}
			}()
			mux.Handle(r.Method+" "+r.Pattern, http.NotFoundHandler())
		}()
	}
}

// `make generate` has been run since a template was changed.
func TestGeneratedViewsAreCurrent(t *testing.T) {
	dir := filepath.Join(root, "templates")
	views, err := filepath.Glob(filepath.Join(dir, "*", "*.templ"))
	if err != nil || len(views) == 0 {
		t.Fatal(views, err)
	}
	for _, view := range views {
		name, err := filepath.Rel(dir, view)
		if err != nil {
			t.Fatal(err)
		}
		generate := exec.Command("go", "tool", "templ", "generate", "-stdout", "-f", name)
		generate.Dir = dir
		want, err := generate.Output()
		if err != nil {
			t.Fatal(name, err)
		}
		if got, err := os.ReadFile(strings.TrimSuffix(view, ".templ") + "_templ.go"); err != nil || string(got) != string(want) {
			t.Errorf("the code of templates/%s is outdated: run `make generate` and commit it (%v)", name, err)
		}
	}
}

func TestLinksInMarkdownWork(t *testing.T) {
	pages := exec.Command("git", "ls-files", "*.md")
	pages.Dir = root
	out, err := pages.Output()
	if err != nil {
		t.Skip("not a git checkout: ", err)
	}
	var (
		link    = regexp.MustCompile(`\]\(([^()\s]+)\)`)
		heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
		anchor  = strings.NewReplacer(" ", "-", ",", "", "`", "", ".", "", ":", "")
	)
	for name := range strings.FieldsSeq(string(out)) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range link.FindAllStringSubmatch(string(text), -1) {
			path, fragment, _ := strings.Cut(l[1], "#")
			if strings.Contains(path, ":") {
				continue // another site
			}
			to := name
			if path != "" {
				to = filepath.Join(filepath.Dir(name), path)
			}
			there, err := os.ReadFile(filepath.Join(root, to))
			if err != nil {
				t.Errorf("%s: %s: %v", name, l[1], err)
			}
			if fragment != "" && !slices.ContainsFunc(heading.FindAllStringSubmatch(string(there), -1), func(h []string) bool {
				return anchor.Replace(strings.ToLower(h[1])) == fragment
			}) {
				t.Errorf("%s: %s has no heading #%s", name, to, fragment)
			}
		}
	}
}

func TestTopLevelEntries(t *testing.T) {
	tracked := exec.Command("git", "ls-files")
	tracked.Dir = root
	out, err := tracked.Output()
	if err != nil {
		t.Skip("not a git checkout: ", err)
	}
	known := []string{".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "functions", "go.mod", "go.sum", "infra", "localrun", "shared", "templates"}
	for line := range strings.Lines(string(out)) {
		top, _, _ := strings.Cut(strings.TrimSpace(line), "/")
		if !slices.Contains(known, top) {
			t.Errorf("%s does not belong in a known top-level folder", strings.TrimSpace(line))
		}
	}
}
