package browsertest_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/a-h/templ"

	"left4me/shared/account"
	"left4me/shared/job"
	"left4me/shared/list"
	"left4me/shared/server"
	"left4me/shared/vpk"
	"left4me/templates/page"
	"left4me/templates/pagetest"
	serverview "left4me/templates/server"
)

func someServer(id int64, state server.State) server.Server {
	return server.Server{
		ID: id, Name: "Friday night", HostID: "a", HostName: "attic", Address: "games.example.org", HostSeenAt: now, Port: 27015, BlueprintID: 4, Blueprint: "Campaigns",
		OwnerID: 1, OwnerName: "nick", State: state, StateAt: now.Add(-90 * time.Minute), CreatedAt: now.Add(-100 * time.Hour), Policy: server.Policy{Kind: server.WhenEmpty},
	}
}

var serverChoices = server.Choices{
	Hosts:      []server.Choice{{ID: "a", Name: "attic"}, {ID: "b", Name: strings.Repeat("h", 63)}},
	Blueprints: []server.Choice{{ID: "4", Name: "Campaigns"}, {ID: "5", Name: hostile}, {ID: "6", Name: strings.Repeat("m", 64)}},
	Owners:     []server.Choice{{ID: "1", Name: "nick"}, {ID: "2", Name: strings.Repeat("W", 64)}},
}

var someLive = server.Live{
	RunID: 8, Answering: true, AnsweringAt: now.Add(-80 * time.Minute), Map: "c1m1_hotel", Mode: "coop", Slots: 8, Humans: 4, Bots: 1, ChangedAt: now.Add(-time.Minute),
}

func someServerPage(state server.State) serverview.ShowView {
	v := serverview.ShowView{
		Frame: frame(true), Server: someServer(3, state), Choices: serverChoices,
		Run: server.Run{ID: 8, JobID: 12, UserName: "nick", Port: 27015, Build: 15684312, Blueprint: "Campaigns", StartedAt: now.Add(-90 * time.Minute)},
		Stack: []server.RunOverlay{
			{ID: 1, Name: "Friday night campaigns"}, {ID: 2, Name: hostile}, {ID: 3, Name: "Server configs", Mounted: true}, {ID: 4, Name: strings.Repeat("m", 64)},
		},
		Events: []server.Event{
			{At: now.Add(-90 * time.Minute), Kind: "restarted", Text: "1 map is newer (Dead Before Dawn), 2 items were added (Urban Flight, " + hostile + ")", UserID: 1, UserName: "nick", JobID: 12},
			{At: now.Add(-95 * time.Minute), Kind: "crashed", Text: "It ended by itself: exit code 139."},
			{At: now.Add(-100 * time.Hour), Kind: "created", UserID: 2, UserName: strings.Repeat("W", 64)},
		},
	}
	for n := range 230 {
		v.Stack[0].Items = append(v.Stack[0].Items, server.RunItem{OverlayID: 1, SteamID: fmt.Sprint(3434972877 + n), Title: []string{"Urban Flight", hostile, turned, strings.Repeat("Dawnbreaker", 30), ""}[n%5], Updated: 1_700_000_000, Size: 34 << 20})
	}
	if state == server.Running {
		v.Server.Live = someLive
		v.Players = []server.Player{
			{Name: "Ellis", Score: 120, Since: now.Add(-80 * time.Minute), Number: 4}, {Name: hostile, Score: 4, Since: now.Add(-3 * time.Minute), Number: 7},
			{Name: strings.Repeat("W", 128), Score: -2, Since: now}, {Since: now}, {Name: "Coach", Bot: true},
		}
	}
	if state == server.Stopped || state == server.Crashed {
		v.Run.EndedAt, v.Run.EndedHow = now.Add(-time.Minute), "It was stopped."
	}
	v.Runs = []server.Run{v.Run, {ID: 7, Build: 15684311, Blueprint: hostile, StartedAt: now.Add(-20 * time.Hour), EndedAt: now.Add(-95 * time.Minute), EndedHow: "It ended by itself: exit code 139.",
		LastLines: strings.Repeat("PutClientInServer: no info_player_start on level\n", 20) + strings.Repeat("long", 90)}}
	for n, humans := range []int{0, 3, 7, -1, 1, 12, 5, 0} {
		v.Populations = append(v.Populations, server.Population{At: now.Add(-time.Duration(26-3*n) * time.Hour), Known: humans >= 0, Humans: humans})
	}
	return v
}

func somePlayPage(state server.State, picture string) serverview.PlayView {
	v := serverview.PlayView{Frame: page.Frame{Version: "1.2.3", Now: now}, Server: server.Public{
		ID: 3, Name: "Friday night", Endpoint: "games.example.org:27015", State: state, Since: now.Add(-90 * time.Minute), StartedAt: now.Add(-90 * time.Minute),
	}}
	if state == server.Running {
		v.Server.Live = server.Live{RunID: 8, Answering: true, Map: "c1m1_" + strings.Repeat("hotel", 10), Mode: "coop", Slots: 8, Humans: 3, Bots: 1, Players: []server.Player{
			{Name: hostile, Score: 12, Since: now.Add(-40 * time.Minute)}, {Name: turned, Since: now}, {Name: strings.Repeat("W", 32), Since: now}, {Name: "Louis", Bot: true, Since: now},
		}}
	}
	for n, i := range someServerPage(state).Stack[0].Items[:40] {
		shown := server.PublicItem{RunItem: i, Kind: []string{string(vpk.CampaignKind), string(vpk.Mutation), ""}[n%3], Gone: n%7 == 6}
		if n%4 != 3 {
			shown.Picture = picture
		}
		v.Server.Items = append(v.Server.Items, shown)
		v.Server.Size += i.Size
	}
	v.Server.Total = len(v.Server.Items)
	return v
}

// servers returns the samples of pages about servers.
func servers(picture string) map[string]templ.Component {
	crashed := someServerPage(server.Crashed)
	crashed.Run.EndedHow = "The game of server 'Friday night' ended before it answered: exit code 139"
	crashed.Run.LastLines = strings.Repeat("PutClientInServer: no info_player_start on level\n", 20) + "Segmentation fault " + strings.Repeat("long", 90)
	crashed.Job = someJob(12, job.Failed)
	crashed.Job.Operation, crashed.Job.Error = job.ServerStart.Name, crashed.Run.EndedHow
	starting := someServerPage(server.Starting)
	starting.Job = someJob(12, job.Running)
	starting.Job.Operation, starting.Job.Progress.ItemsTotal, starting.Job.Progress.BytesTotal, starting.Job.Progress.Current = job.ServerStart.Name, 0, 0, "waiting until the game answers on port 27015"
	stopped := someServerPage(server.Stopped)
	stopped.Frame = frame(false)
	fresh := someServerPage(server.Stopped)
	fresh.Runs, fresh.Populations = nil, nil
	fresh.Run, fresh.Stack, fresh.Server.Address, fresh.Server.Name = server.Run{}, nil, "", hostile
	fresh.Server.HostProblem = "this user may not make the namespaces that a server needs (fork/exec /usr/lib/left4me/localrun: operation not permitted): allow them with `sudo sysctl -w kernel.unprivileged_userns_clone=1`"
	bare := someServerPage(server.Running)
	bare.Stack, bare.Server.Live, bare.Players = nil, server.Live{}, nil
	watched := someServerPage(server.Running)
	watched.Watches, watched.Command, watched.CommandError = true, hostile, "A command is one line, without characters that cannot be shown."
	for n := range 60 {
		watched.Console = append(watched.Console, server.ConsoleLine{ID: int64(n), Text: []string{"Server is hibernating", hostile, turned, strings.Repeat("long", 125), ""}[n%5]})
	}
	watched.Campaigns = []vpk.Campaign{
		{Title: hostile, Modes: []vpk.Mode{{Name: "coop", Maps: []vpk.Map{{Name: "uf1_boulevard", Title: "Boulevard"}, {Name: strings.Repeat("m", 64), Title: strings.Repeat("W", 200)}}}, {Name: "mutation12", Maps: []vpk.Map{{Name: "uf1_boulevard"}}}}},
	}
	silentWatched := someServerPage(server.Running)
	silentWatched.Server.HostSeenAt, silentWatched.Watches = now.Add(-30*time.Hour), true
	quiet := someServerPage(server.Running)
	quiet.Server.Live.Answering, quiet.Server.Live.AnsweringAt, quiet.Server.Live.Map, quiet.Server.Live.Mode = false, now.Add(-time.Minute), strings.Repeat("long", 30), ""
	waiting := func(policy server.Policy, change func(*server.Update)) templ.Component {
		v := someServerPage(server.Running)
		v.Server.Policy, v.Server.Update = policy, server.Update{Waits: "2 maps are newer, 1 item was added, the game is newer", Since: now.Add(-3 * time.Hour)}
		change(&v.Server.Update)
		return serverview.Show(v)
	}
	silent := someServerPage(server.Running)
	silent.Server.HostSeenAt = now.Add(-30 * time.Hour)
	refused := someServerPage(server.Running)
	refused.Change = serverview.Form{Name: hostile, Port: "80", Blueprint: "5", Owner: "2", Error: "A port is a number from 1024 to 65535. Game servers are usually at 27015 and the numbers after it."}
	unreset := someServerPage(server.Stopped)
	unreset.Run.Written = &server.Written{Files: 1204, Bytes: 734 << 20}
	unreset.ResetError, unreset.DeleteError = "“Friday night” is running. Please stop it first: its files cannot be removed while the game uses them.", "Please tick the box to confirm. Nothing was removed."

	public := someServerPage(server.Running)
	public.Server.Public, public.Origin = true, "https://"+strings.Repeat("left4me-", 6)+".example.org"
	off := somePlayPage(server.Crashed, picture)
	off.Server.Name, off.Server.Endpoint, off.Server.Password, off.Server.Total = hostile, "", true, 2_000
	lobby, bareToPlay := somePlayPage(server.Unknown, picture), somePlayPage(server.Starting, picture)
	lobby.Server.Name, lobby.Server.LobbyOnly, lobby.Server.Items, lobby.Server.Total = strings.Repeat("W", 64), true, lobby.Server.Items[:1], 1
	mute := somePlayPage(server.Running, picture)
	mute.Server.Live.Answering = false
	bareToPlay.Server.Items, bareToPlay.Server.Total, bareToPlay.Server.Endpoint = nil, 0, strings.Repeat("long-", 40)+".example:27015"

	var rows []server.Server
	for n, state := range []server.State{server.Running, server.Starting, server.Stopping, server.Stopped, server.Crashed} {
		rows = append(rows, someServer(int64(n+1), state))
	}
	rows[0].Live = someLive
	rows = append(rows, quiet.Server)
	rows[0].Update = server.Update{Waits: "2 maps are newer, 1 item was added, the game is newer", Since: now.Add(-3 * time.Hour)}
	rows[1].Name, rows[2].Name, rows[3].Address = hostile, strings.Repeat("m", 64), ""
	rows[4].HostSeenAt, rows[4].Address = now.Add(-30*time.Hour), strings.Repeat("long-", 40)+".example"
	all := serverview.ListView{Frame: frame(true), Servers: pagetest.Listed(rows...), Choices: serverChoices, FreePort: 27016}
	mine := serverview.ListView{Frame: frame(false), Servers: pagetest.Listed(rows...)}
	mine.User = account.User{ID: 1, Name: "nick"}
	many := all
	many.Servers.Place = list.Place{Query: list.Query{Text: "fri", State: string(server.Running), Sort: "state", Page: 2}, Total: 999, Last: 5, More: true}
	clash := all
	clash.Create = serverview.Form{Name: "Sunday", Host: "b", Port: "27015", Blueprint: "6", Owner: "2", Error: "The server Friday night has port 27015 on this host. Port 27016 is free."}
	noBlueprint := all
	noBlueprint.Servers, noBlueprint.Choices.Blueprints = pagetest.Listed[server.Server](), nil

	return map[string]templ.Component{
		"server-list":              serverview.List(all),
		"server-list-mine":         serverview.List(mine),
		"server-list-many":         serverview.List(many),
		"server-list-clash":        serverview.List(clash),
		"server-list-no-blueprint": serverview.List(noBlueprint),
		"server-list-no-host":      serverview.List(serverview.ListView{Frame: frame(true), Servers: pagetest.Listed[server.Server]()}),
		"server-list-empty":        serverview.List(serverview.ListView{Frame: frame(false), Servers: pagetest.Listed[server.Server]()}),
		"server-show-running":      serverview.Show(someServerPage(server.Running)),
		"server-show-waiting":      waiting(server.Policy{Kind: server.Daily, Minute: 330}, func(*server.Update) {}),
		"server-show-announced":    waiting(server.Policy{Kind: server.AtLatest, Hours: 12}, func(u *server.Update) { u.Plan = server.Plan{RestartAt: now.Add(4 * time.Minute), Warned: 5} }),
		"server-show-held":         waiting(server.Policy{Kind: server.WhenEmpty}, func(u *server.Update) { u.Held = "The last build of overlay “" + hostile + "” failed." }),
		"server-show-bare":         serverview.Show(bare),
		"server-show-quiet":        serverview.Show(quiet),
		"server-show-console":      serverview.Show(watched),
		"server-show-no-console":   serverview.Show(silentWatched),
		"server-show-crashed":      serverview.Show(crashed),
		"server-show-starting":     serverview.Show(starting),
		"server-show-stopped":      serverview.Show(stopped),
		"server-show-fresh":        serverview.Show(fresh),
		"server-show-silent":       serverview.Show(silent),
		"server-show-refused":      serverview.Show(refused),
		"server-show-unreset":      serverview.Show(unreset),
		"server-show-public":       serverview.Show(public),
		"play":                     serverview.Play(somePlayPage(server.Running, picture)),
		"play-off":                 serverview.Play(off),
		"play-lobby":               serverview.Play(lobby),
		"play-silent":              serverview.Play(mute),
		"play-bare":                serverview.Play(bareToPlay),
		"play-fresh":               serverview.Play(serverview.PlayView{Frame: page.Frame{Now: now}, Server: server.Public{Name: turned, State: server.Stopped, Since: now}}),
	}
}
