package autorestart_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"left4me/localrun/watch"
	"left4me/shared/account"
	"left4me/shared/blueprint"
	"left4me/shared/builder"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/game"
	"left4me/shared/game/a2s"
	"left4me/shared/game/autorestart"
	"left4me/shared/game/control"
	"left4me/shared/game/launch"
	"left4me/shared/game/supervisor"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/server"
	"left4me/shared/settings"
	"left4me/shared/steam"
	"left4me/shared/steam/steamtest"
	"left4me/shared/workshop"
)

// A week on a host with three servers, on a clock of the test's: items change every day and the game once, Steam is away for a day, people
// join and leave, two games crash, and the agent is killed at random. What happens depends on the seed.
//
// shows: P63
func TestAWeek(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := newWeek(t, seed)
	for day := range 7 {
		w.day(day)
	}
	w.check()
}

var errKilled = errors.New("the agent was killed")

// week is the host, and the people who play and look after it.
type week struct {
	*testing.T
	autorestart.Host
	rand    *rand.Rand
	now     time.Time
	db      *db.DB
	jobs    *jobstore.Store
	steam   *steamtest.Server
	client  *steam.Client
	builder builder.Host
	control control.Host
	// watcher is the agent's, and newWatcher that of one that has just been started.
	watcher, newWatcher watch.Watcher
	games               *weekGames
	admin               account.User
	updated             int64 // time_updated of the last update
	// kill ends the agent's work; nil while the agent is away until back.
	kill context.CancelCauseFunc
	back time.Time
	// lines are the lines that the agent may still say until it is killed; below zero: it is not.
	lines               int
	kills, lost, failed int
}

// player is somebody who plays: since when, and until when.
type player struct{ from, until time.Time }

// weekGame is a process of a server. Like the real one it answers on its port.
type weekGame struct {
	socket  net.PacketConn
	since   time.Time
	players []player
	told    map[int]time.Time // by minutes ahead
	asked   bool              // a person has asked for the stop
}

// weekGames is the supervisor.
type weekGames struct {
	week    *week
	mu      sync.Mutex
	running map[int64]*weekGame
}

func (*weekGames) ShortenConsole(int64) error { return nil }

func (g *weekGames) Start(_ context.Context, id int64) error {
	current, err := os.ReadFile(filepath.Join(g.week.control.Settings.Root, "servers", fmt.Sprint(id), "current"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(g.week.control.Settings.Root, "servers", fmt.Sprint(id), "runs", strings.TrimSpace(string(current)), "plan.json"))
	var plan launch.Plan
	if err == nil {
		err = json.Unmarshal(text, &plan)
	}
	if err != nil {
		return err
	}
	socket, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", plan.Port))
	if err != nil {
		return err
	}
	one := &weekGame{socket: socket, since: g.week.now, told: map[int]time.Time{}}
	go func() {
		request := make([]byte, 1400)
		for {
			_, from, err := socket.ReadFrom(request)
			if err != nil {
				return
			}
			g.mu.Lock()
			humans := string([]byte{byte(len(one.players))})
			g.mu.Unlock()
			_, _ = socket.WriteTo([]byte("\xff\xff\xff\xffI\x11a game\x00c1m1_hotel\x00left4dead2\x00Left 4 Dead 2\x00\x26\x02"+humans+"\x08\x00dl\x00\x012.2.3.7\x00"), from)
		}
	}()
	g.running[id] = one
	g.week.line()
	return nil
}

func (g *weekGames) Stop(_ context.Context, id int64) error {
	if one := g.running[id]; one != nil {
		g.week.stopped(id, one)
		one.socket.Close()
		delete(g.running, id)
	}
	g.week.line()
	return nil
}

func (g *weekGames) Status(_ context.Context, id int64) (supervisor.Status, error) {
	if one := g.running[id]; one != nil {
		return supervisor.Status{Running: true, Since: one.since}, nil
	}
	return supervisor.Status{Exit: "signal: segmentation fault"}, nil
}

func (g *weekGames) Console(context.Context, int64, int) ([]string, bool, error) {
	return []string{"Segmentation fault"}, false, nil
}

// stopped checks that whoever plays has been told of the stop in time.
func (w *week) stopped(id int64, one *weekGame) {
	if len(one.players) == 0 || one.asked {
		return
	}
	for _, minutes := range []int{15, 5, 1} {
		if at := one.told[minutes]; at.IsZero() || w.now.Sub(at) < time.Duration(minutes)*time.Minute || w.now.Sub(at) > time.Hour {
			w.Errorf("%v: server %d is stopped while %d people play; %d minutes ahead they were told at %v", w.now, id, len(one.players), minutes, at)
		}
	}
}

// line is called at each step of the agent's work, where it may be killed.
func (w *week) line() {
	if w.lines--; w.lines == 0 && w.kill != nil {
		w.kill(errKilled)
	}
}

// report is a job's. The agent may be killed at each line.
type weekReport struct {
	*week
	mu      sync.Mutex
	success func(context.Context, db.Querier) error
}

func (r *weekReport) Infof(format string, _ ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Somebody joins while the next run is made ready.
	if strings.Contains(format, "are frozen") && r.rand.IntN(4) == 0 {
		r.join(r.games.running[int64(1+r.rand.IntN(3))])
	}
	r.line()
}
func (r *weekReport) Warnf(format string, args ...any)                        { r.Infof(format, args...) }
func (r *weekReport) Progress(jobstore.Progress)                              {}
func (r *weekReport) OnSuccess(write func(context.Context, db.Querier) error) { r.success = write }

func newWeek(t *testing.T, seed uint64) *week {
	w := &week{T: t, rand: rand.New(rand.NewPCG(seed, 0)), now: time.Date(2026, 5, 4, 0, 0, 0, 0, time.FixedZone("", 2*60*60)), updated: 1_800_000_000}
	clock := func() time.Time { return w.now }
	w.steam = steamtest.Start(t, `
		item 1 title=Urban campaign=Urban maps=u1
		item 2 title=Tracks campaign=Tracks maps=t1
		item 3 title=Rifle
		item 4 title=Pistol
	`)
	w.db = dbtest.New(t)
	dbtest.AddHost(t, w.db, "here", w.now)
	w.jobs = jobstore.NewStore(w.db, clock)
	hosts, err := steam.ParseHosts(w.steam.Host())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s := settings.Settings{Root: t.TempDir(), SteamHosts: hosts, DownloadParallel: 2}
	w.client = steam.NewClient(w.steam.URL, log)
	overlays, servers := overlay.NewStore(w.db, clock, w.jobs), server.NewStore(w.db, clock, w.jobs)
	w.builder = builder.Host{OverlaysDir: s.OverlaysDir(), Overlays: overlays, Fetcher: builder.NewFetcher(s, workshop.NewStore(w.db, clock, w.jobs), log)}
	w.builder.HostID, w.builder.FirstPause = "here", time.Nanosecond
	w.games = &weekGames{week: w, running: map[int64]*weekGame{}}
	w.control = control.Host{
		Settings: s, DB: w.db, Jobs: w.jobs, Servers: servers, Blueprints: blueprint.NewStore(w.db, clock, w.jobs), Overlays: overlays,
		Releases: game.NewStore(w.db, clock, w.jobs), Supervisor: w.games, Now: clock,
	}
	w.Host = autorestart.Host{Servers: servers, ID: "here", Now: clock, Say: w.say}
	w.newWatcher = watch.Watcher{DB: w.db, Root: s.Root, Servers: servers, Supervisor: w.games, Host: "here", Enqueued: func(context.Context) {}, Log: log}
	w.watcher = w.newWatcher
	t.Cleanup(func() {
		for _, one := range w.games.running {
			one.socket.Close()
		}
	})
	w.admin, err = account.NewStore(w.db, clock).Create(t.Context(), "root", "a password", true)
	w.must(err)
	for name, ids := range map[string][]steam.ID{"maps": {"1", "2"}, "guns": {"3", "4"}} {
		id, err := overlays.Create(t.Context(), w.admin, name, overlay.Workshop.Name)
		w.must(err)
		o, err := overlays.Get(t.Context(), id)
		w.must(err)
		_, err = w.builder.Items.Add(t.Context(), w.client, w.admin, o, ids, workshop.Items, nil)
		w.must(err)
	}
	w.exec(`INSERT INTO blueprints (id, name, created_at) VALUES (1, 'all', 1), (2, 'maps', 1)`)
	w.exec(`INSERT INTO blueprint_overlays (blueprint_id, overlay_id, position) SELECT 1, id, id FROM overlays UNION ALL SELECT 2, id, 1 FROM overlays WHERE name = 'maps'`)
	w.release(100)
	for n, policy := range []server.Policy{{Kind: server.WhenEmpty}, {Kind: server.Daily, Minute: 5 * 60}, {Kind: server.AtLatest, Hours: 12}} {
		id, _, err := servers.Create(t.Context(), w.admin, "here", server.Form{Name: policy.String(), Port: freePort(t), BlueprintID: 1 + int64(n)%2, OwnerID: w.admin.ID, Policy: policy})
		w.must(err)
		w.start(id)
	}
	w.until(w.now.Add(time.Hour))
	return w
}

func (w *week) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *week) exec(query string, args ...any) {
	w.Helper()
	_, err := w.db.ExecContext(w.Context(), query, args...)
	w.must(err)
}

// freePort returns a port that nobody uses, for UDP and TCP, and that the system gives to no client.
func freePort(t *testing.T) int {
	for range 1000 {
		address := fmt.Sprintf("0.0.0.0:%d", 20_000+rand.N(10_000))
		udp, err := net.ListenPacket("udp4", address)
		if err != nil {
			continue
		}
		defer udp.Close()
		if tcp, err := net.Listen("tcp4", address); err == nil {
			defer tcp.Close()
			return udp.LocalAddr().(*net.UDPAddr).Port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// release records that the host has a newer release of the game.
func (w *week) release(build int64) {
	w.exec(`INSERT INTO releases (host_id, build_id, bytes, installed_at) VALUES ('here', ?, 1, ?)`, build, w.now.UnixMilli())
}

// start has a person start a server.
func (w *week) start(id int64) {
	s, err := w.Servers.Get(w.Context(), id)
	w.must(err)
	if !s.IsOff() {
		return
	}
	_, err = w.Servers.Start(w.Context(), w.admin, s)
	w.must(err)
}

// day is one day, which begins at 01:00.
func (w *week) day(day int) {
	midnight := w.now.Truncate(time.Hour).Add(-time.Hour)
	at := func(hour int, minute int) time.Time {
		return midnight.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
	}
	// What changes during the night. Another item changes each day, and all do when Steam is back.
	changed := []int{1 + day%4}
	if day == 4 {
		changed = []int{1, 2, 3, 4}
	}
	for _, id := range changed {
		w.updated += 3600
		w.steam.Tell(w, fmt.Sprintf("update %d size=%dKiB updated=%d", id, 1+w.rand.IntN(8), w.updated))
	}
	if day == 3 {
		w.steam.Tell(w, "content status=503\n")
	}
	w.until(at(4, 0))
	_, err := w.jobs.Enqueue(w.Context(), w.db, jobstore.Request{Operation: job.RefreshWorkshopItems})
	w.must(err)
	w.until(at(9, w.rand.IntN(60)))
	if day == 2 {
		w.release(101)
	}
	if day == 3 {
		for id := range w.games.running {
			w.held(id)
		}
		w.steam.Tell(w, "reset\n")
	}
	w.until(at(13, w.rand.IntN(60)))
	switch day {
	case 1: // the supervisor starts it again
		if one := w.games.running[1]; one != nil {
			one.since, one.players = w.now, nil
		}
	case 5: // nobody does, until a person notices
		if one := w.games.running[3]; one != nil {
			one.socket.Close()
			delete(w.games.running, 3)
		}
		w.until(at(14, 30))
		w.start(3)
	}
	w.until(at(25, 0))
}

// held checks that the page says why a server is not restarted.
func (w *week) held(id int64) {
	s, err := w.Servers.Get(w.Context(), id)
	w.must(err)
	if s.Update.Waits != "" && !strings.Contains(s.Update.Held, "The last build of overlay") {
		w.Errorf("server %d waits after a failed build: %+v", id, s.Update)
	}
}

// until lets everybody act until then. While something waits, checks are 20 to 60 seconds apart, otherwise some minutes.
func (w *week) until(then time.Time) {
	for w.now.Before(then) {
		pause := 10 * time.Minute
		if busy, err := db.Row(w.Context(), w.db, db.Value[bool], `SELECT EXISTS (SELECT 1 FROM server_updates WHERE waits <> '' AND held = '') OR EXISTS (SELECT 1 FROM jobs WHERE finished_at IS NULL)`); err != nil {
			w.Fatal(err)
		} else if busy {
			pause = time.Duration(1+w.rand.IntN(3)) * 20 * time.Second
		}
		w.now = w.now.Add(pause)
		w.people(pause)
		w.agent()
	}
}

// people join and leave. Most play in the evening, and nobody for a while in the morning.
func (w *week) people(pause time.Duration) {
	w.games.mu.Lock()
	defer w.games.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(w.games.running)) {
		one := w.games.running[id]
		one.players = slices.DeleteFunc(one.players, func(p player) bool { return p.until.Before(w.now) })
		hourly := 1.5 // how many come in an hour
		if hour := w.now.Hour(); hour >= 7 && hour < 8 {
			hourly = 0
		} else if hour >= 17 {
			hourly = 4
		}
		if len(one.players) < 8 && w.rand.Float64() < hourly*pause.Hours() {
			one.players = append(one.players, player{w.now, w.now.Add(time.Duration(1+w.rand.IntN(150)) * time.Minute)})
		}
	}
}

func (w *week) join(one *weekGame) {
	if one == nil {
		return
	}
	w.games.mu.Lock()
	defer w.games.mu.Unlock()
	one.players = append(one.players, player{w.now, w.now.Add(30 * time.Minute)})
}

// say shows a line in a game.
func (w *week) say(ctx context.Context, on server.Check, line string) error {
	one := w.games.running[on.ServerID]
	if one == nil {
		return errors.New("the game does not answer")
	}
	_, after, _ := strings.Cut(line, "restarts in ")
	minutes, err := strconv.Atoi(after[:strings.IndexByte(after, ' ')])
	if err != nil || !strings.Contains(line, "New: ") {
		w.Errorf("a line that people cannot understand: %q", line)
	}
	one.told[minutes] = w.now
	w.line()
	return ctx.Err()
}

// agent is what the agent does in one moment: it looks after the servers, checks them, and runs the jobs that there are. It may be killed
// while it does that.
func (w *week) agent() {
	if w.now.Before(w.back) {
		return
	}
	ctx, kill := context.WithCancelCause(w.Context())
	defer kill(nil)
	w.kill, w.lines = kill, -1
	if w.rand.IntN(3) == 0 {
		w.lines = 1 + w.rand.IntN(6)
	}
	w.exec(`UPDATE hosts SET seen_at = ?`, w.now.UnixMilli())
	restarted := !w.back.IsZero()
	w.back = time.Time{}
	err := w.watcher.Look(ctx, restarted)
	if err == nil {
		err = w.checkGames(ctx)
	}
	for err == nil {
		if _, err = w.jobs.Sweep(ctx); err != nil {
			break
		}
		c, found, claimErr := w.jobs.Claim(ctx, jobstore.Worker{Name: "agent", Host: "here"}, job.Runnable())
		if err = claimErr; err != nil || !found {
			break
		}
		err = w.run(ctx, c)
		w.now = w.now.Add(time.Duration(1+w.rand.IntN(10)) * time.Second)
	}
	if err != nil && ctx.Err() == nil {
		w.Fatal(err)
	}
	if ctx.Err() != nil {
		w.kills++
		w.watcher = w.newWatcher
		w.back = w.now.Add(time.Duration(5+w.rand.IntN(120)) * time.Second)
	}
}

// checkGames is what the function check-servers does.
func (w *week) checkGames(ctx context.Context) error {
	all, err := w.Servers.Checks(ctx, "here")
	if err != nil {
		return err
	}
	for n, c := range all {
		answer, err := a2s.Info(ctx, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(c.Port)))
		if err != nil {
			return err
		}
		all[n].Now = server.Live{RunID: c.RunID, Answering: true, Slots: 8, Humans: answer.Players}
	}
	return w.Check(ctx, all)
}

// run runs a job as its function does.
func (w *week) run(ctx context.Context, c jobstore.Claim) error {
	r := &weekReport{week: w}
	if c.Lost == 2 { // P35: the third time it fails
		w.lines = -1
	}
	var err error
	switch c.Operation.Name {
	case job.RefreshWorkshopItems.Name:
		err = w.refresh(ctx, r)
	case job.BuildOverlay.Name:
		h := w.builder
		h.Report = r
		o, getErr := h.Overlays.Get(ctx, c.Subject.ID)
		if err = getErr; err == nil {
			err = builder.Build(ctx, &h, o)
		}
		r.success = func(ctx context.Context, q db.Querier) error { return h.Record(ctx, q, o, c.JobID) }
	case job.ServerInit.Name:
		err = w.control.Job(ctx, c.JobID, c.Subject.ID, r, (*control.Host).Prepare)
	case job.ServerStart.Name:
		var asked server.StartArgument
		w.must(json.Unmarshal([]byte(c.Argument), &asked))
		err = w.control.Job(ctx, c.JobID, c.Subject.ID, r, func(h *control.Host, ctx context.Context, s server.Server) error { return h.StartAs(ctx, s, asked) })
	default:
		w.Fatalf("a job %s", c.Operation.Name)
	}
	if ctx.Err() != nil { // killed: nothing more is written
		w.lost++
		return ctx.Err()
	}
	if err != nil {
		w.failed++
		return w.jobs.Finish(ctx, c, jobstore.Ending{State: job.Failed, Error: err.Error()})
	}
	return w.jobs.Finish(ctx, c, jobstore.Ending{State: job.Succeeded, InTx: r.success})
}

// refresh is what the function refresh-workshop-items does.
func (w *week) refresh(ctx context.Context, r *weekReport) error {
	ids, err := w.builder.Items.SteamIDs(ctx)
	if err != nil {
		return err
	}
	var advanced []int64
	if err := w.builder.Items.Refresh(ctx, w.client, ids, func(found workshop.Refreshed) { advanced = append(advanced, found.Advanced...) }); err != nil {
		return err
	}
	r.Infof("refreshed")
	outdated, err := w.builder.Items.Outdated(ctx, "here", advanced)
	if err != nil {
		return err
	}
	fetcher := w.builder.Fetcher
	fetcher.Report = r
	if _, err = fetcher.Fetch(ctx, outdated, len(ids)); err != nil {
		return err
	}
	return fetcher.ReadContents(ctx, 0)
}

// check checks what the week has led to.
func (w *week) check() {
	restarts, crashes, told := 0, 0, 0
	for id := int64(1); id <= 3; id++ {
		s, err := w.Servers.Get(w.Context(), id)
		w.must(err)
		if s.State != server.Running || s.Update != (server.Update{}) {
			w.Errorf("server %d, %s, is %s: %+v", id, s.Name, s.State, s.Update)
		}
		run, err := w.Servers.LastRun(w.Context(), id)
		w.must(err)
		stack, err := w.Servers.LastStack(w.Context(), id)
		w.must(err)
		if run.Build != 101 {
			w.Errorf("server %d runs release %d", id, run.Build)
		}
		items := 0
		for _, o := range stack {
			for _, i := range o.Items {
				items++
				if newest, _ := w.steam.Item(i.SteamID); newest.Updated != i.Updated {
					w.Errorf("server %d runs item %s of %d, Steam has that of %d", id, i.SteamID, i.Updated, newest.Updated)
				}
			}
		}
		if want := 4 - 2*int((id+1)%2); items != want {
			w.Errorf("server %d runs %d items, want %d", id, items, want)
		}
		events, err := w.Servers.Events(w.Context(), id, 1000)
		w.must(err)
		var history, game, mine int
		for _, e := range events {
			switch e.Kind {
			case "restarted":
				restarts++
				mine++
				if e.Text == "" || e.UserID != 0 {
					w.Errorf("server %d was restarted for nothing: %+v", id, e)
				}
				if strings.Contains(e.Text, "the game is newer") {
					game++
				}
			case "crashed":
				crashes++
			case "announced":
				told++
			case "update waiting":
				history++
			case "not restarted":
				if !strings.Contains(e.Text, "The last build of overlay") {
					w.Errorf("server %d: %s", id, e.Text)
				}
			}
		}
		// Each day has one update of items, of which servers with less get less, and one has one of the game.
		if game != 1 || mine < 3 || mine > 8 || history < mine {
			w.Errorf("server %d was restarted %d times, for the game %d times; updates waited %d times\n%s", id, mine, game, history, w.tell(events))
		}
	}
	if crashes != 2 {
		w.Errorf("the history has %d crashes", crashes)
	}
	w.Logf("%d restarts, %d announcements, the agent was killed %d times, at work on %d jobs; %d jobs failed", restarts, told, w.kills, w.lost, w.failed)
}

func (w *week) tell(events []server.Event) string {
	all := ""
	for _, e := range slices.Backward(events) {
		all += fmt.Sprintf("%s %s: %s\n", e.At.In(w.now.Location()).Format("Mon 15:04:05"), e.Kind, e.Text)
	}
	return all
}
