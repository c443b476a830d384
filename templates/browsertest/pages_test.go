package browsertest_test

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/a-h/templ"

	"left4me/shared/account"
	"left4me/shared/blueprint"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/steam"
	"left4me/shared/vpk"
	"left4me/shared/workshop"
	accountview "left4me/templates/account"
	"left4me/templates/admin"
	"left4me/templates/assets"
	blueprintview "left4me/templates/blueprint"
	"left4me/templates/browsertest"
	jobview "left4me/templates/job"
	overlayview "left4me/templates/overlay"
	"left4me/templates/page"
	"left4me/templates/pagetest"
)

var now = time.Date(2026, 3, 14, 18, 30, 0, 0, time.UTC)

const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`

// turned begins with a control character that reverses the direction of the rest of its line.
const turned = "\u202Egpj.exe \u05E9\u05DC\u05D5\u05DD"

func frame(admin bool) page.Frame {
	return page.Frame{User: account.User{ID: 1, Name: "nick", Admin: admin}, CSRF: "token", Version: "1.2.3", Now: now}
}

func someItems(n int, picture string) []workshop.Item {
	titles := []string{
		"Urban Flight", hostile, turned, strings.Repeat("Dawnbreaker", 30), "Dead Before Dawn: the extended campaign with all optional rescue finales", "",
	}
	items := make([]workshop.Item, n)
	for n := range items {
		i := &items[n]
		*i = readyItem(int64(100+n), fmt.Sprint(3434972877+n), titles[n%len(titles)])
		i.FileSize = int64(n+1) * 9_434_972
		i.DownloadedSize = i.FileSize
		i.Updated = now.Add(-time.Duration(n*31+7) * time.Hour).Unix()
		i.DownloadedUpdated = i.Updated
		i.DownloadedAt = now.Add(-time.Duration(n*7+1) * time.Minute)
		if n%3 == 0 {
			i.PreviewURL = picture
		}
		switch n % 8 {
		case 1:
			i.DownloadedAt = time.Time{}
		case 2:
			i.DownloadedUpdated--
		case 3:
			i.FileURL, i.FileSize, i.LastError = "", 0, "steam result 9"
		case 4:
			i.LastError = "download failed: unexpected status 503 from cdn.steamusercontent.com"
		case 6:
			i.Linked = false
		case 7:
			i.Disabled = true
		case 5:
			i.Pinned = i.Updated - 86400*30
		}
		if n%4 == 1 {
			i.Versions = []workshop.Kept{{Updated: i.Updated, Size: i.FileSize, Hosts: 1}, {Updated: i.Updated - 86400*30, Size: 5 << 20, Hosts: 1}, {Updated: i.Updated - 86400*400, Size: 5 << 20, Hosts: 1}}
		}
		if i.FileURL == "" {
			i.LostAt = now.Add(-40 * time.Hour)
		}
		switch n % 6 {
		case 0:
			i.Content = &workshop.Content{Content: vpk.Content{Kind: vpk.CampaignKind, Title: "Addon", Author: hostile, Version: "1.2"}}
		case 1:
			i.Content = &workshop.Content{Unknown: "its index is broken"}
		case 2:
			i.Content = &workshop.Content{Content: vpk.Content{Kind: vpk.Weapon}}
		case 3:
			i.Content = &workshop.Content{Content: vpk.Content{Kind: vpk.Mutation, Mutations: []string{"holdout", strings.Repeat("m", 64)}}}
			if n%4 == 1 {
				i.LinkName = "holdout"
			}
		case 4:
			i.Content = &workshop.Content{Content: vpk.Content{Kind: vpk.CampaignKind, Title: turned}}
		}
	}
	return items
}

// someCampaigns returns campaigns for items with a campaign: of the first one map, of the others some.
func someCampaigns(items []workshop.Item) (campaigns []workshop.Campaign) {
	for n, i := range items {
		if i.Content == nil || i.Content.Kind != vpk.CampaignKind || n%6 == 4 {
			continue
		}
		var maps []vpk.Map
		for m := range 1 + n {
			maps = append(maps, vpk.Map{Name: fmt.Sprintf("dbd%dm%d_%s", n, m+1, strings.Repeat("e", m*5)), Title: []string{"The Docks", hostile, turned}[m%3]})
		}
		modes := []vpk.Mode{{Name: "coop", Maps: maps}, {Name: "versus", Maps: maps[:1+n/2]}}
		campaigns = append(campaigns, workshop.Campaign{SteamID: i.SteamID, Campaign: vpk.Campaign{Title: "Dead Before Dawn", Modes: modes[:1+min(n, 1)]}})
		if n == 6 {
			campaigns = append(campaigns, workshop.Campaign{SteamID: i.SteamID, Campaign: vpk.Campaign{Title: hostile, Modes: modes}})
		}
	}
	return campaigns
}

func readyItem(id int64, steamID, title string) workshop.Item {
	return workshop.Item{ID: id, SteamID: steam.ID(steamID), Title: title, FileURL: "https://cdn.steamusercontent.com/ugc/1/2/", DownloadedAt: now, Linked: true}
}

func someJob(id int64, state job.State) jobstore.Job {
	j := jobstore.Job{
		ID: id, Operation: job.BuildOverlay.Name, State: state, Subject: job.Overlay(3), SubjectName: "Friday night campaigns", UserName: "nick",
		CreatedAt: now.Add(-95 * time.Second), Progress: downloading, HostSeenAt: now,
	}
	if state != job.Queued {
		j.StartedAt = now.Add(-93 * time.Second)
	}
	if state.Ended() {
		j.FinishedAt = now.Add(-20 * time.Second)
	}
	return j
}

var downloading = jobstore.Progress{ItemsDone: 3, ItemsTotal: 12, BytesDone: 412 << 20, BytesTotal: 1310 << 20, Current: "3434972877 Urban Flight"}

func someLog(from, n int) []jobstore.Line {
	lines := make([]jobstore.Line, n)
	for i := range lines {
		seq := from + i
		lines[i] = jobstore.Line{Seq: int64(seq), At: now.Add(time.Duration(seq) * time.Second), Text: fmt.Sprintf("workshop %d: downloaded 34 MiB in 2.1 s", 3434972877+seq)}
		if seq%5 == 4 {
			lines[i].Stream, lines[i].Text = job.Stderr, fmt.Sprintf("workshop %d attempt 1/3 failed: unexpected status 503 %s", 3434972877+seq, hostile)
		}
	}
	return lines
}

func show(id int64, state job.State) jobview.ShowView {
	log := someLog(1, 24)
	v := jobview.ShowView{Frame: frame(false), Job: someJob(id, state), Log: log, After: 24, Earlier: true}
	switch state {
	case job.Failed:
		v.Job.Error = "2 of 12 items could not be downloaded"
		v.Failures = []jobstore.Line{log[3], {Stream: job.Stderr, Text: strings.Repeat("long", 90)}}
	case job.Succeeded:
		v.Summary = "downloaded=3 cached=9 skipped=0 created=12 removed=0 unchanged=0 errors=0"
	}
	return v
}

// collection is a job collect_garbage, which has another kind of log.
func collection(state job.State) jobview.ShowView {
	v := jobview.ShowView{Frame: frame(true), Job: someJob(8, state)}
	v.Job.Progress = jobstore.Progress{ItemsDone: 17, ItemsTotal: 38, BytesDone: 2 << 30, BytesTotal: 6 << 30, Current: "3434972877.vpk"}
	v.Job.Operation, v.Job.Subject, v.Job.SubjectName = job.CollectGarbage.Name, job.Subject{}, ""
	if state == job.Queued {
		return v
	}
	v.Log = []jobstore.Line{
		{Seq: 1, At: now, Text: "kept 3434972870.vpk: 1048576 bytes, no overlay holds it, but overlays/2/left4dead2/maps/mine leads to it"},
		{Seq: 2, At: now, Text: "removed 3434972877.vpk.partial: 5 bytes, left of a broken download"},
	}
	v.After = 2
	switch state {
	case job.Succeeded:
		v.Summary = "garbage: removed=38 bytes=6442450944 linked=1 busy=0 errors=0"
	case job.Failed:
		v.Job.Error = "1 of 38 files could not be removed: remove 3434972878.vpk: device or resource busy"
		v.Failures = []jobstore.Line{{Seq: 3, At: now, Stream: job.Stderr, Text: "remove 3434972878.vpk: device or resource busy"}}
	}
	return v
}

func someOverlay(items []workshop.Item) overlayview.ShowView {
	v := overlayview.ShowView{Frame: frame(false), Items: pagetest.Listed(items...), Overlay: overlay.Overlay{
		ID: 3, Name: "Friday night campaigns", Type: overlay.Workshop, OwnerID: 1, OwnerName: "nick",
		LastBuildStatus: "ok", LastBuildAt: now.Add(-3 * time.Hour), LastBuildJobID: 6,
	}}
	v.Sum = workshop.Sum{Items: len(items), Size: int64(len(items)) * 40_000_000}
	v.Campaigns = someCampaigns(items)
	if len(items) > 5 {
		v.Conflicts = someConflicts(3, 3)
	}
	v.Others = []overlay.Choice{{ID: 4, Name: "Versus"}, {ID: 5, Name: hostile}, {ID: 6, Name: strings.Repeat("m", 64)}}
	return v
}

func someBlueprint(admin bool, layers int) blueprintview.ShowView {
	v := blueprintview.ShowView{Frame: frame(admin), Blueprint: blueprint.Blueprint{ID: 5, Name: "Friday", OwnerID: 1, OwnerName: "nick", Settings: blueprint.Default()}}
	for n, name := range []string{"Friday night campaigns", hostile, strings.Repeat("W", 64), turned}[:layers] {
		v.Stack = append(v.Stack, blueprint.Layer{OverlayID: int64(3 + n), Name: name, LastBuildStatus: []string{"ok", "failed"}[n%2]})
	}
	v.Choices = []overlay.Choice{{ID: 8, Name: "Versus"}, {ID: 9, Name: hostile}, {ID: 10, Name: strings.Repeat("m", 64)}}
	v.Form = v.Blueprint
	for _, title := range []string{"Foggy Harbour", hostile, turned}[:min(layers, 3)] {
		v.Campaigns = append(v.Campaigns, workshop.Campaign{SteamID: "101", Campaign: vpk.Campaign{Title: title, Modes: []vpk.Mode{
			{Name: "coop", Maps: []vpk.Map{{Name: "harbour1"}, {Name: strings.Repeat("m", 64)}}}, {Name: "versus", Maps: []vpk.Map{{Name: strings.Repeat("v", 64)}}}}}})
	}
	if layers > 2 {
		v.Conflicts = []workshop.Comparison{someConflicts(3, 4), someConflicts(3, 5)}
		v.Conflicts[1].Paths, v.Conflicts[1].Conflicts = 1, v.Conflicts[1].Conflicts[1:2]
	}
	return v
}

// someConflicts returns conflicts of all ranks.
func someConflicts(overlayID, otherID int64) workshop.Comparison {
	c := workshop.Comparison{OverlayID: overlayID, OtherID: otherID, Paths: 1234}
	for rank := workshop.Maps; rank <= workshop.Others; rank++ {
		c.Conflicts = append(c.Conflicts, workshop.Conflict{Rank: rank, Origins: 2 + 7*int(rank), Count: 2 + 600*int(rank), Between: []workshop.Origin{
			{OverlayID: overlayID, SteamID: "3434972877", Title: []string{"Urban Flight", hostile, turned}[rank]},
			{OverlayID: otherID, SteamID: "3434972878", File: strings.Repeat("f", 80)}, {OverlayID: otherID},
		}[:2+min(int(rank), 1)], Paths: []string{"maps/dbd1m1_docks.bsp", strings.Repeat("materials/", 15)}})
	}
	return c
}

// blueprints returns the samples of pages about blueprints.
func blueprints() map[string]templ.Component {
	reader := someBlueprint(false, 3)
	reader.Blueprint.OwnerID, reader.Blueprint.OwnerName, reader.Blueprint.Settings.Password = 0, "", "secret"
	refused := someBlueprint(true, 1)
	refused.SettingsError = `The name shown in the game cannot have the character ": the game's settings have no way to write it. Use ' or “ ” instead.`
	refused.Form.Settings = blueprint.Settings{Hostname: hostile, Mode: "mutation12", Map: strings.Repeat("m", 64), Slots: 31, Groups: []string{"103582791429521412", "1"}, Exclusive: true,
		Region: 3, Tags: []string{"hard", "friends"}, LobbyOnly: true, Consistency: true, Lines: []string{"z_difficulty Hard", strings.Repeat("x", 500)}, Arguments: []string{"-tickrate", "60"}}
	empty := someBlueprint(false, 0)
	none := empty
	none.Choices, none.StackError = nil, "There is no overlay 7 that you could add. It may have been deleted."
	kept := someBlueprint(false, 2)
	kept.DeleteError = "The server “Friday night” is started from this blueprint. Nothing was deleted."
	rows := []blueprint.Listed{{Blueprint: someBlueprint(true, 0).Blueprint, Overlays: 4}, {Blueprint: reader.Blueprint}}
	rows[1].Name = hostile
	return map[string]templ.Component{
		"blueprint-list":         blueprintview.List(blueprintview.ListView{Frame: frame(true), Blueprints: pagetest.Listed(rows...)}),
		"blueprint-list-empty":   blueprintview.List(blueprintview.ListView{Frame: frame(false), Blueprints: pagetest.Listed[blueprint.Listed]()}),
		"blueprint-list-clash":   blueprintview.List(blueprintview.ListView{Frame: frame(true), Blueprints: pagetest.Listed(rows...), Create: blueprintview.CreateForm{Name: "Friday", System: true, Error: "There already is a blueprint for everybody named “Friday”. Please choose another name."}}),
		"blueprint-show":         blueprintview.Show(someBlueprint(true, 4)),
		"blueprint-show-reader":  blueprintview.Show(reader),
		"blueprint-show-refused": blueprintview.Show(refused),
		"blueprint-show-empty":   blueprintview.Show(empty),
		"blueprint-show-none":    blueprintview.Show(none),
		"blueprint-show-kept":    blueprintview.Show(kept),
	}
}

// samples returns all pages in all states that look different. Each name starts with the name of the page's route.
func samples(picture string) map[string]templ.Component {
	unavailable, _ := assets.Lookup(assets.Unavailable)
	empty := someOverlay(nil)
	empty.Overlay.LastBuildStatus, empty.Overlay.LastBuildAt, empty.Overlay.LastBuildJobID = "", time.Time{}, 0
	empty.Examples = []string{
		"https://steamcommunity.com/sharedfiles/filedetails/?id=3434972877",
		"3434972877, 3434972878",
	}

	busy := someOverlay(someItems(12, picture))
	busy.Job = someJob(7, job.Running)
	busy.Outcome = overlayview.Outcome{Added: workshop.Added{New: 2, Already: 1}, JobID: 7}

	hostless := busy
	hostless.Job.HostSeenAt = now.Add(-30 * time.Hour)
	waiting := show(7, job.Queued)
	waiting.Job.HostSeenAt = time.Time{}

	removed := someOverlay(someItems(3, picture))
	removed.Outcome = overlayview.Outcome{Removed: removed.Items.Rows[1:2], JobID: 8}

	disabled := someOverlay(someItems(9, picture))
	disabled.Outcome = overlayview.Outcome{Set: disabled.Items.Rows[6:8], SetTo: "disabled", JobID: 8}

	refused := someOverlay(someItems(1, picture))
	refused.Input, refused.InputError = "3434972877 rubbish", `"rubbish" is neither a workshop link nor an id. Nothing was added.`

	managed := someOverlay(someItems(1, picture))
	managed.Changed, managed.ChangeError = overlay.Settings{Name: "Versus"}, "You already have an overlay named “Versus”. Please choose another name."
	managed.DeleteError = "Please tick the box to confirm. Nothing was deleted."

	reader := someOverlay(someItems(6, picture))
	reader.Overlay.OwnerID, reader.Overlay.Name = 2, strings.Repeat("W", 64)

	stuck := someOverlay(someItems(14, picture))
	stuck.Overlay.LastBuildStatus = "failed"
	stuck.Waiting = workshop.Waiting{Changes: 31, Removed: []workshop.Item{readyItem(90, "3434972800", hostile), readyItem(91, "3434972801", "")}}
	for _, i := range stuck.Items.Rows {
		i.Title, i.LastError = cmp.Or(i.Title, turned), "download failed: "+strings.Repeat("long", 40)
		stuck.Waiting.Failed = append(stuck.Waiting.Failed, i)
	}

	stuckAgain := stuck
	stuckAgain.Job, stuckAgain.Waiting.Failed = someJob(7, job.Queued), stuck.Waiting.Failed[:1]

	blocked := someOverlay(someItems(1, picture))
	blocked.Overlay.LastBuildStatus, blocked.Waiting.Changes = "failed", 1
	blocked.RefreshError = "steam api error: steam answered 503. Nothing was changed; please try again in a minute."

	external := overlayview.ShowView{Frame: frame(true), Overlay: overlay.Overlay{
		ID: 4, Name: "Server configs", Type: overlay.External, LastBuildStatus: "failed", LastBuildAt: now.Add(-26 * time.Hour), LastBuildJobID: 2,
	}}

	used := overlayview.UseView{Frame: frame(false), Overlay: reader.Overlay}
	usedHere := used
	usedHere.Hosts = []host.Host{{Name: "attic", Root: "/var/lib/left4me"}}
	usedTwice := used
	usedTwice.Hosts = append(usedHere.Hosts, host.Host{Name: strings.Repeat("h", 63), Root: "/srv/" + strings.Repeat("long", 40)})
	onHosts := func(v overlayview.ShowView, n int) overlayview.ShowView {
		v.OnHosts = []overlayview.OnHost{
			{Host: host.Host{ID: "a", Name: "attic", Root: "/var/lib/left4me", SeenAt: now}, Build: overlay.HostBuild{Status: "ok", At: now.Add(-3 * time.Hour), JobID: 5}},
			{Host: host.Host{ID: "c", Name: strings.Repeat("h", 63), Root: "/srv/" + strings.Repeat("long", 40), SeenAt: now}, Build: overlay.HostBuild{Status: "failed", At: now.Add(-2 * time.Hour), JobID: 6}},
			{Host: host.Host{ID: "l", Name: hostile, SeenAt: now.Add(-30 * time.Hour)}, Job: someJob(8, job.Queued)},
		}
		for i := len(v.OnHosts); i < n; i++ {
			v.OnHosts = append(v.OnHosts, overlayview.OnHost{Host: host.Host{ID: fmt.Sprint("x", i), Name: fmt.Sprint("node-", i), Root: "/var/lib/left4me", SeenAt: now}, Build: overlay.HostBuild{Status: "ok", At: now, JobID: int64(i)}})
		}
		v.Hosts = nil
		for _, o := range v.OnHosts {
			v.Hosts = append(v.Hosts, o.Host)
		}
		v.Overlay.LastBuildStatus = "failed"
		return v
	}
	reader = onHosts(reader, 3)
	busyOnHosts, manyHosts := onHosts(busy, 3), onHosts(someOverlay(someItems(3, picture)), 20)
	busyOnHosts.Job.SeveralHosts, busyOnHosts.Job.HostID, busyOnHosts.Job.HostName = true, "a", "attic"
	externalOnHosts := onHosts(external, 3)
	usedOften := used
	usedOften.Hosts = manyHosts.Hosts
	silent := show(7, job.Queued)
	silent.Job.SeveralHosts, silent.Job.HostID, silent.Job.HostName, silent.Job.HostSeenAt = true, "a", "attic", now.Add(-30*time.Hour)

	many := someOverlay(someItems(12, picture))
	many.Items.Place = list.Place{Query: list.Query{Text: "dead", State: "ready", Sort: "-size", Page: 2}, Total: 1234, Last: 7, More: true}
	last := many
	last.Items.Place = list.Place{Query: list.Query{Sort: "title", Page: 7}, Total: 1234, Last: 7, Beyond: 99}
	nothing := someOverlay(nil)
	nothing.Sum.Items, nothing.Items.Text = 40, "dead"
	copied := someOverlay(someItems(3, picture))
	copied.Outcome = overlayview.Outcome{Added: workshop.Added{New: 12, Already: 3}, CopiedTo: strings.Repeat("m", 64), JobID: 9}

	listed := []overlay.Listed{
		{Overlay: overlay.Overlay{ID: 1, Name: "Friday night campaigns", LastBuildStatus: "ok", LastBuildAt: now.Add(-3 * time.Hour)}, Items: 1234, Size: 212 << 30},
		{Overlay: overlay.Overlay{ID: 2, Name: hostile, LastBuildStatus: "failed", LastBuildAt: now.Add(-50 * time.Hour)}, Items: 1, Size: 5 << 20, Hosts: []string{"attic", strings.Repeat("h", 63)}},
		{Overlay: overlay.Overlay{ID: 3, Name: turned}},
		{Overlay: overlay.Overlay{ID: 4, Name: strings.Repeat("m", 64)}, Building: job.Queued},
		{Overlay: overlay.Overlay{ID: 5, Name: "Versus", LastBuildStatus: "ok"}, Building: job.Running, Items: 12},
	}
	for i := range listed {
		listed[i].Type, listed[i].OwnerName = overlay.Workshop, "nick"
	}
	listed = append(listed, overlay.Listed{Overlay: overlay.Overlay{ID: 9, Name: "Server configs", Type: overlay.External, LastBuildStatus: "ok", LastBuildAt: now}})
	all := overlayview.ListView{Frame: frame(true), Overlays: pagetest.Listed(listed...)}
	manyListed := all
	manyListed.Frame = frame(false)
	manyListed.Overlays.Place = list.Place{Query: list.Query{Sort: "state", Page: 1}, Total: 20_000, Last: 100, More: true}
	noneListed := overlayview.ListView{Frame: frame(true)}
	noneListed.Overlays.Place = list.Place{Query: list.Query{State: overlay.BeingBuilt, Page: 1}, Last: 1}

	clash := overlayview.ListView{Frame: frame(false), Create: overlayview.CreateForm{
		Name: "Versus", Error: "You already have an overlay named “Versus”. Choose another name.",
	}}

	var jobs []jobstore.Job
	for i, state := range []job.State{job.Queued, job.Running, job.Cancelling, job.Succeeded, job.Failed, job.Cancelled} {
		jobs = append(jobs, someJob(int64(20-i), state))
	}
	jobs[1].SeveralHosts, jobs[1].HostID, jobs[1].HostName = true, "a", strings.Repeat("h", 63)
	jobs[3].SeveralHosts, jobs[3].HostID = true, "gone"
	jobs = append(jobs,
		jobstore.Job{ID: 3, Operation: job.RefreshWorkshopItems.Name, State: job.Succeeded, CreatedAt: now.Add(-14 * time.Hour), StartedAt: now.Add(-14 * time.Hour), FinishedAt: now.Add(-14*time.Hour + 75*time.Second)},
		jobstore.Job{ID: 2, Operation: job.BuildOverlay.Name, Subject: job.Overlay(1), State: job.Succeeded, UserName: hostile, CreatedAt: now.Add(-20 * time.Hour)},
	)

	tokens := accountview.ShowView{Frame: frame(false), NewToken: "l4m_" + strings.Repeat("Ab0-", 11), Token: accountview.TokenForm{Error: "A token is valid for 1 to 365 days."}, Tokens: []account.Token{
		{ID: 2, Name: "backup", Writes: true, CreatedAt: now.Add(-time.Hour), ExpiresAt: now.Add(90 * 24 * time.Hour), LastUsedAt: now.Add(-time.Minute)},
		{ID: 1, Name: hostile, CreatedAt: now.Add(-90 * time.Hour), ExpiresAt: now.Add(24 * time.Hour)},
	}}
	sessions := accountview.ShowView{Frame: frame(false), Sessions: []account.Session{
		{ID: 3, Current: true, CreatedAt: now.Add(-time.Hour), ExpiresAt: now.Add(29 * 24 * time.Hour), From: account.Client{Address: "2001:db8:85a3::8a2e:370:7334", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}},
		{ID: 2, CreatedAt: now.Add(-50 * time.Hour), ExpiresAt: now.Add(27 * 24 * time.Hour), From: account.Client{Address: "192.0.2.7", UserAgent: hostile}},
		{ID: 1, CreatedAt: now.Add(-90 * time.Hour), ExpiresAt: now.Add(26 * 24 * time.Hour)},
	}}
	wrongPassword := sessions
	wrongPassword.Error, wrongPassword.Sessions = "That is not your current password. Nothing was changed.", sessions.Sessions[:1]

	quiet := admin.HomeView{Frame: frame(true), People: account.Counts{People: 1, Administrators: 1}}
	garbage := host.Usage{CacheFiles: 1204, CacheBytes: 212 << 30, Overlays: 42, OverlayBytes: 7 << 20, GarbageKnown: true, GarbageFiles: 38, GarbageBytes: 6 << 30}
	busyHome := admin.HomeView{
		Frame: frame(true), People: account.Counts{People: 12, Administrators: 2, Disabled: 1},
		Items:    workshop.Counts{Ready: 1204, Waiting: 31, Failing: 4, Unused: 7},
		Overlays: []overlay.TypeCount{{Type: overlay.External, Overlays: 2}, {Type: overlay.Workshop, Overlays: 40}},
		Refresh:  someJob(6, job.Failed), RefreshLine: "3 of 1204 items could not be downloaded " + hostile,
		Queue: []jobstore.Count{
			{Operation: job.BuildOverlay.Name, State: job.Queued, Jobs: 240, Oldest: now.Add(-20 * time.Minute)},
			{Operation: job.RefreshWorkshopItems.Name, State: job.Running, Jobs: 1, Oldest: now},
		},
		Hosts: []host.Host{
			{ID: "mh4x2kq7wzs3", Name: "game-host.example", Address: "192.0.2.17", Command: "up", Version: "1.2.3", SeenAt: now, DiskTotal: 931 << 30, DiskFree: 412 << 30, MeasuredAt: now.Add(-time.Minute), Usage: garbage},
			{ID: strings.Repeat("x", 64), Name: strings.Repeat("h", 63), Command: "agent", Version: "1.2.2-14-g1a2b3c4-dirty", SeenAt: now.Add(-30 * time.Hour), DiskTotal: 100 << 30, DiskFree: 1 << 30},
			{ID: "kq7wzs3mh4x2", Name: "attic " + hostile, Address: "attic.example", Command: "agent", Version: "1.2.3", SeenAt: now.Add(-time.Hour), StoppedAt: now.Add(-time.Hour)},
		},
	}
	manyJobs := pagetest.Listed(jobs...)
	manyJobs.Place = list.Place{Query: list.Query{Page: 2}, More: true}
	allJobs := admin.JobsView{Frame: frame(true), Live: jobs[:3], LiveTotal: 240, Ended: pagetest.Listed(jobs[3:]...)}
	allJobs.Ended.More = true
	failedJobs := admin.JobsView{Frame: frame(true)}
	failedJobs.Ended.Place = list.Place{Query: list.Query{State: string(job.Failed), Page: 1}, Beyond: 3}

	clean, collecting, elsewhere := busyHome, busyHome, busyHome
	tidy := busyHome.Hosts[0]
	tidy.Usage.GarbageFiles, tidy.Usage.GarbageBytes = 0, 0
	clean.Queue, clean.Hosts = nil, []host.Host{tidy}
	collecting.Queue = []jobstore.Count{{Operation: job.CollectGarbage.Name, State: job.Running, Jobs: 1, Oldest: now}}
	elsewhere.Hosts = []host.Host{busyHome.Hosts[0], tidy}

	hosts := admin.HostsView{Frame: frame(true), Hosts: []host.Listed{
		{Host: busyHome.Hosts[0], Running: 1, Waiting: 240, Game: host.Game{BuildID: 15000001, Bytes: 9 << 30, InstalledAt: now.Add(-40 * time.Hour), NewestBuildID: 15000002, CheckedAt: now}},
		{Host: busyHome.Hosts[1], Waiting: 3, Failed: 12, Servers: 2, Game: host.Game{BuildID: 15000002, Bytes: 9 << 30, InstalledAt: now, NewestBuildID: 15000002, CheckedAt: now}}, {Host: busyHome.Hosts[2]},
	}}
	oneHost, twentyHosts := hosts, hosts
	oneHost.Hosts = hosts.Hosts[:1]
	for i := range 17 {
		twentyHosts.Hosts = append(twentyHosts.Hosts, host.Listed{Host: host.Host{ID: fmt.Sprintf("mh4x2kq7wz%02d", i), Name: fmt.Sprint("node-", i), Address: fmt.Sprint("192.0.2.", i+20), Command: "agent", Version: "1.2.3",
			SeenAt: now.Add(-20 * time.Second), DiskTotal: 931 << 30, DiskFree: 412 << 30, MeasuredAt: now.Add(-time.Minute), Usage: garbage}})
	}

	people := admin.PeopleView{Frame: frame(true), NewPasswordOf: "ellis", NewPassword: "ABCDEFGHIJKLMNOP", People: pagetest.Listed([]account.Person{
		{User: account.User{ID: 1, Name: "nick", Admin: true}, Last: true, CreatedAt: now.Add(-900 * time.Hour), LastSignIn: now},
		{User: account.User{ID: 2, Name: strings.Repeat("W", 64)}, CreatedAt: now.Add(-90 * time.Hour)},
		{User: account.User{ID: 3, Name: "coach", Admin: true}, Disabled: true, CreatedAt: now.Add(-90 * time.Hour), LastSignIn: now.Add(-80 * time.Hour)},
	}...)}
	manyPeople := people
	manyPeople.NewPassword = ""
	manyPeople.People.Place = list.Place{Query: list.Query{Text: "w", Sort: "-seen", Page: 3}, Total: 999, Last: 5, More: true}
	refusedPeople := people
	refusedPeople.NewPassword, refusedPeople.ChangeError = "", "nick is the last administrator. Please make somebody else an administrator first."
	refusedPeople.Create = admin.CreateForm{Name: "nick", Administrator: true, Error: "There is already a user named nick."}

	noticed := frame(false)
	noticed.Notice = "You are signed in."

	pages := map[string]templ.Component{
		"login-form":                  accountview.Login(accountview.LoginView{Frame: page.Frame{CSRF: "token", Version: "1.2.3", Now: now}}),
		"login-form-beside":           accountview.Login(accountview.LoginView{Frame: page.Frame{CSRF: "token", Now: now}, Beside: true}),
		"login-form-refused":          accountview.Login(accountview.LoginView{Frame: page.Frame{CSRF: "token", Now: now}, Name: "nick", Next: "/overlays/3", Error: "This name and password do not belong together. Try again."}),
		"overlay-list":                overlayview.List(all),
		"overlay-list-many":           overlayview.List(manyListed),
		"overlay-list-none":           overlayview.List(noneListed),
		"overlay-show-many":           overlayview.Show(many),
		"overlay-show-last":           overlayview.Show(last),
		"overlay-show-nothing":        overlayview.Show(nothing),
		"overlay-show-copied":         overlayview.Show(copied),
		"overlay-list-empty":          overlayview.List(overlayview.ListView{Frame: noticed, Overlays: pagetest.Listed[overlay.Listed]()}),
		"overlay-list-clash":          overlayview.List(clash),
		"overlay-show":                overlayview.Show(someOverlay(someItems(12, picture))),
		"overlay-show-empty":          overlayview.Show(empty),
		"overlay-show-busy":           overlayview.Show(busy),
		"overlay-show-no-host":        overlayview.Show(hostless),
		"overlay-show-removed":        overlayview.Show(removed),
		"overlay-show-disabled":       overlayview.Show(disabled),
		"overlay-show-refused":        overlayview.Show(refused),
		"overlay-show-managed":        overlayview.Show(managed),
		"overlay-show-reader":         overlayview.Show(reader),
		"overlay-show-external":       overlayview.Show(external),
		"overlay-show-stuck":          overlayview.Show(stuck),
		"overlay-show-stuck-again":    overlayview.Show(stuckAgain),
		"overlay-show-blocked":        overlayview.Show(blocked),
		"overlay-show-hosts":          overlayview.Show(busyOnHosts),
		"overlay-show-many-hosts":     overlayview.Show(manyHosts),
		"overlay-show-external-hosts": overlayview.Show(externalOnHosts),
		"overlay-use-many-hosts":      overlayview.Use(usedOften),
		"job-show-silent-host":        jobview.Show(silent),
		"overlay-use":                 overlayview.Use(usedHere),
		"overlay-use-no-host":         overlayview.Use(used),
		"overlay-use-two-hosts":       overlayview.Use(usedTwice),
		"job-list":                    jobview.List(jobview.ListView{Frame: frame(true), Jobs: manyJobs}),
		"job-list-empty":              jobview.List(jobview.ListView{Frame: frame(false)}),
		"job-show-queued":             jobview.Show(show(7, job.Queued)),
		"job-show-no-host":            jobview.Show(waiting),
		"job-show-running":            jobview.Show(show(7, job.Running)),
		"job-show-failed":             jobview.Show(show(7, job.Failed)),
		"job-show-succeeded":          jobview.Show(show(7, job.Succeeded)),
		"job-show-garbage-queued":     jobview.Show(collection(job.Queued)),
		"job-show-garbage-running":    jobview.Show(collection(job.Running)),
		"job-show-garbage-succeeded":  jobview.Show(collection(job.Succeeded)),
		"job-show-garbage-failed":     jobview.Show(collection(job.Failed)),
		"account":                     accountview.Show(sessions),
		"account-tokens":              accountview.Show(tokens),
		"account-refused":             accountview.Show(wrongPassword),
		"admin-home":                  admin.Home(busyHome),
		"admin-home-quiet":            admin.Home(quiet),
		"admin-home-clean":            admin.Home(clean),
		"admin-home-collecting":       admin.Home(collecting),
		"admin-home-two-hosts":        admin.Home(elsewhere),
		"admin-jobs":                  admin.Jobs(allJobs),
		"admin-jobs-none":             admin.Jobs(failedJobs),
		"admin-hosts":                 admin.Hosts(hosts),
		"admin-hosts-one":             admin.Hosts(oneHost),
		"admin-hosts-twenty":          admin.Hosts(twentyHosts),
		"admin-hosts-none":            admin.Hosts(admin.HostsView{Frame: frame(true)}),
		"host-ask":                    admin.AskHost(admin.AskHostView{Frame: frame(true), Host: host.Listed{Host: hosts.Hosts[1].Host, Running: 1, Waiting: 3}}),
		"host-ask-idle":               admin.AskHost(admin.AskHostView{Frame: frame(true), Host: hosts.Hosts[2]}),
		"admin-users":                 admin.People(people),
		"admin-users-many":            admin.People(manyPeople),
		"user-ask":                    admin.Ask(admin.AskView{Frame: frame(true), Person: people.People.Rows[1], Action: admin.Disable}),
		"user-ask-own":                admin.Ask(admin.AskView{Frame: frame(true), Person: people.People.Rows[0], Action: admin.Demote}),
		"admin-users-409":             admin.People(refusedPeople),
		"error-401": page.Error(page.ErrorView{Frame: page.Frame{CSRF: "token", Now: now, Ended: true}, Status: 401, Sentence: "Your session has ended. Please sign in again; nothing was changed.", Kept: page.Form{
			Action: route.ItemAdd.URL(3), Typed: page.Field{Name: "input", Value: "3434972877"}, Hidden: []page.Field{{Name: "input_mode", Value: "auto"}},
		}}),
		"error-404": page.Error(page.ErrorView{Frame: frame(false), Status: 404, Sentence: "There is no such overlay. It may have been deleted."}),
		"error-502": templ.Raw(string(unavailable.Content)),
		"error-500": page.Error(page.ErrorView{Frame: page.Frame{Now: now}, Status: 500, Sentence: "left4me could not do that, and it is not your fault. Try again in a minute.", RequestID: "01J9Z3K8"}),
	}
	maps.Copy(pages, blueprints())
	maps.Copy(pages, servers(picture))
	maps.Copy(pages, webhooks())
	return pages
}

// What somebody has typed must survive a session that has ended: route.Route.Typed names it, except where there are passwords.
func TestRoutesNameWhatIsTyped(t *testing.T) {
	mux, typed := http.NewServeMux(), map[string]string{}
	for _, r := range route.All() {
		mux.Handle(r.Method+" "+r.Pattern, http.NotFoundHandler())
		typed[r.Method+" "+r.Pattern] = r.Typed
	}
	for sample, c := range samples("") {
		pagetest.Page(t, pagetest.Render(t, c)).Find("form[method=post]:not(:has([type=password]))").Each(func(_ int, form *goquery.Selection) {
			_, to := mux.Handler(httptest.NewRequest(http.MethodPost, form.AttrOr("action", "/"), nil))
			// All other fields are kept beside it.
			if fields := form.Find("textarea, input:not([type=hidden], [type=checkbox])"); fields.Length() > 0 && fields.Filter(`[name="`+typed[to]+`"]`).Length() != 1 {
				t.Errorf("%s: a refused form %s keeps what is in %q", sample, to, typed[to])
			}
		})
	}
}

// serve serves handler at its patterns, with the assets and the security policy.
func serve(t *testing.T, add func(mux *http.ServeMux)) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(route.Asset.Method+" "+route.Asset.Pattern, assets.Handler(http.NotFoundHandler()))
	add(mux)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page.SetSecurityHeaders(w.Header(), "https://*.steamusercontent.com")
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func answer(w http.ResponseWriter, r *http.Request, c templ.Component) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := c.Render(r.Context(), w); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// Every page has a sample, and a sample leads to every route.
func TestSamplesAreComplete(t *testing.T) {
	pages := samples(assets.URL(assets.Mark))
	used := map[string]bool{}
	for _, c := range pages {
		maps.Copy(used, pagetest.Routes(pagetest.Page(t, pagetest.Render(t, c))))
	}
	for _, r := range route.All() {
		if r == route.Health {
			continue // for machines
		}
		if !used[r.Method+" "+r.Pattern] && r != route.LoginForm { // where redirects lead
			t.Errorf("no page leads to route %s", r.Name)
		}
		sampled := slices.ContainsFunc(slices.Collect(maps.Keys(pages)), func(name string) bool { return strings.HasPrefix(name, r.Name) })
		if !sampled && r.Method == http.MethodGet && r != route.Home && r != route.Asset && r != route.API {
			t.Errorf("samples has no page of route %s", r.Name)
		}
	}
}

// All pages pass axe-core's rules, fit into the window and obey the security policy, in both colour schemes, on a desktop and on a
// phone. If SCREENSHOTS is a directory, the test writes a picture of each page there.
func TestEveryPageInABrowser(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	pictures := os.Getenv("SCREENSHOTS")
	var pages map[string]templ.Component
	url := serve(t, func(mux *http.ServeMux) {
		// The answer to polling pages: nothing has changed.
		nothing := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
		mux.HandleFunc("GET "+route.JobShow.Pattern, nothing)
		mux.HandleFunc("GET "+route.OverlayShow.Pattern, nothing)
		mux.HandleFunc("GET "+route.ServerShow.Pattern, nothing)
		mux.HandleFunc("GET "+route.Account.Pattern, nothing)
		mux.HandleFunc("GET /sample/{name}", func(w http.ResponseWriter, r *http.Request) { answer(w, r, pages[r.PathValue("name")]) })
	})
	pages = samples(url + assets.URL(assets.Mark))

	for name := range pages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := browser.Page(t)
			tab.Look(1280, 800, browsertest.Light)
			tab.Open(url + "/sample/" + name)
			for _, width := range []int64{1280, 360} {
				for _, scheme := range []browsertest.Scheme{browsertest.Light, browsertest.Dark} {
					at := fmt.Sprintf("%s, %d px", scheme, width)
					tab.Look(width, 800, scheme)
					var rules []string
					if scheme == browsertest.Dark {
						// Only colours depend on the scheme.
						rules = []string{"color-contrast", "link-in-text-block"}
					}
					for _, finding := range tab.Audit(rules...) {
						t.Errorf("%s: %s", at, finding)
					}
					// On a desk, app.css has a width for each column (--cols); cells without one get a line of their own.
					if broken := browsertest.Eval[string](tab, `[...document.querySelectorAll(".rows thead tr")].filter(row => [...row.cells].some((cell, at, all) => at > 0 && cell.offsetLeft <= all[at - 1].offsetLeft)).map(row => row.innerText).join()`); width == 1280 && broken != "" {
						t.Errorf("%s: more columns than app.css has widths: %s", at, broken)
					}
					if tab.ScrollsSideways() {
						t.Errorf("%s: the page is wider than the window", at)
					}
					// Rows with content-visibility cut off what is too wide for them.
					if cut := browsertest.Eval[string](tab, `[...document.querySelectorAll("tbody tr")].filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent).join()`); cut != "" {
						t.Errorf("%s: these rows are wider than the window: %s", at, cut)
					}
					if pictures != "" {
						tab.Screenshot(filepath.Join(pictures, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)))
					}
				}
			}
			for _, c := range tab.Complaints() {
				t.Error(c)
			}
		})
	}
}
