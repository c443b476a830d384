package live_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"left4me/shared/game/gametest"
	"left4me/shared/game/live"
	"left4me/shared/game/rcon"
	"left4me/shared/game/serverdir"
	"left4me/shared/server"
)

type world struct {
	live.Games
	game *gametest.Game
	now  time.Time
	// check is the server's, from one look to the next.
	check server.Check
}

// setUp returns a game that is server 1 with run 5.
func setUp(t *testing.T) *world {
	t.Helper()
	w := &world{game: gametest.StartGame(t), now: time.Now().Truncate(time.Millisecond)}
	w.Games = live.Games{Root: t.TempDir(), Wait: time.Minute, Now: func() time.Time { return w.now }}
	w.check = server.Check{ServerID: 1, Name: "friday", RunID: 5, Port: int(w.game.Address().Port())}
	w.password(t, "secret")
	return w
}

func (w *world) passwordFile() string {
	return filepath.Join(w.Root, "servers", "1", "runs", "5", "rcon_password")
}

func (w *world) password(t *testing.T, password string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(w.passwordFile()), 0o755)
	if err == nil {
		err = os.WriteFile(w.passwordFile(), []byte(password), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// look looks at w.now, and reports whether anything has changed since the last look.
func (w *world) look(t *testing.T) (l server.Live, changed bool) {
	t.Helper()
	if now := time.Now().Truncate(time.Millisecond); now.After(w.now) {
		w.now = now
	} else {
		w.now = w.now.Add(time.Millisecond)
	}
	all := []server.Check{w.check}
	if err := w.Look(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	l, changed = all[0].Now, !all[0].Now.Equal(w.check.Before)
	w.check.Before = l
	return l, changed
}

func names(l server.Live) (names []string) {
	for _, p := range l.Players {
		if !p.Bot {
			names = append(names, p.Name)
		}
	}
	return names
}

// shows: P62
func TestWhatAGameSays(t *testing.T) {
	w := setUp(t)
	w.game.Tell(t, "bots 2\njoin Ellis\njoin x\" BOT active\nplayed Ellis 2m\nscore Ellis 12")
	l, _ := w.look(t)
	want := server.Live{RunID: 5, Answering: true, AnsweringAt: w.now, Map: "c1m1_hotel", Mode: "coop", Slots: 8, Connected: 4, Bots: 2, Humans: 2, Players: l.Players}
	if !l.Equal(want) || len(l.Players) != 4 {
		t.Errorf("%+v", l)
	}
	if got := names(l); !slices.Equal(got, []string{"Ellis", `x" BOT active`}) {
		t.Errorf("the humans are %q", got)
	}
	if p := l.Players[0]; p.Score != 12 || p.Number != 1 || w.now.Sub(p.Since).Round(time.Minute) != 2*time.Minute {
		t.Errorf("%+v", p)
	}
	// RCON is only asked when A2S shows a change.
	asked := w.game.Asked()["login"]
	if l, changed := w.look(t); changed {
		t.Errorf("nothing has changed: %+v", l)
	}
	w.game.Tell(t, "score Ellis 13")
	if l, changed := w.look(t); !changed || l.Players[0].Score != 13 {
		t.Errorf("%+v", l)
	}
	if again := w.game.Asked()["login"]; again != asked {
		t.Errorf("RCON was asked %d more times", again-asked)
	}
	w.game.Tell(t, "leave Ellis\nmap c1m2_streets")
	l, _ = w.look(t)
	if got := names(l); l.Map != "c1m2_streets" || l.Humans != 1 || !slices.Equal(got, []string{`x" BOT active`}) || l.Empty() {
		t.Errorf("%+v, %q", l, got)
	}
	w.game.Tell(t, `leave x" BOT active`)
	l, _ = w.look(t)
	if !l.Empty() || !l.EmptyAt.Equal(w.now) || l.Humans != 0 || len(names(l)) != 0 {
		t.Errorf("with bots only: %+v", l)
	}
	since := w.now
	if l, changed := w.look(t); changed || !l.EmptyAt.Equal(since) {
		t.Errorf("nothing has changed: %+v", l)
	}
}

// While the same people play, nothing changes, although their times do.
//
// shows: P62
func TestNothingChangesWithTime(t *testing.T) {
	w := setUp(t)
	w.game.Tell(t, "bots 1\njoin Ellis\njoin Ellis\nplayed Ellis 90m")
	w.look(t)
	for range 20 {
		if l, changed := w.look(t); changed {
			t.Fatalf("%+v", l)
		}
	}
}

// shows: P62
func TestNoAnswerIsNotEmpty(t *testing.T) {
	for _, fault := range []string{"silent", "truncated", "foreign", "hold"} {
		w := setUp(t)
		if l, _ := w.look(t); !l.Empty() {
			t.Errorf("%+v", l)
		}
		w.game.Tell(t, "fault "+fault)
		w.Wait = 50 * time.Millisecond // after which there is no answer, however fast the machine is
		l, changed := w.look(t)
		if l.Answering || l.Empty() || !changed || !l.AnsweringAt.Equal(w.now) || l.Map != "c1m1_hotel" {
			t.Errorf("%s: %+v", fault, l)
		}
		if l, changed := w.look(t); changed {
			t.Errorf("%s, still: %+v", fault, l)
		}
		w.game.Tell(t, "reset")
		w.Wait = time.Minute
		if l, _ := w.look(t); !l.Answering || !l.EmptyAt.Equal(w.now) {
			t.Errorf("%s, over: %+v", fault, l)
		}
	}
}

// A game that has never answered has said nothing.
func TestAGameThatHasNeverAnswered(t *testing.T) {
	w := setUp(t)
	w.game.Tell(t, "fault silent")
	w.Wait = 50 * time.Millisecond
	if l, changed := w.look(t); l.Answering || l.Known() || l.Empty() || !changed {
		t.Errorf("%+v", l)
	}
}

func TestMisbehaviourThatDoesNotMatter(t *testing.T) {
	for _, fault := range []string{"twice", "other-address", "parts"} {
		w := setUp(t)
		w.game.Tell(t, "join Ellis\nfault "+fault)
		if l, _ := w.look(t); !l.Answering || l.Humans != 1 || !slices.Equal(names(l), []string{"Ellis"}) {
			t.Errorf("%s: %+v", fault, l)
		}
	}
}

// Without RCON, more people are assumed rather than fewer.
func TestWithoutRCON(t *testing.T) {
	w := setUp(t)
	w.game.Tell(t, "fault reject\nbots 3\njoin Ellis")
	l, _ := w.look(t)
	if !l.Answering || l.Humans != 1 || l.Mode != "" || len(l.Players) != 4 || l.Stale {
		t.Errorf("%+v", l)
	}
	// The password is not sent again: the game would ban this host.
	w.game.Tell(t, "reset\njoin Nick")
	if l, _ := w.look(t); l.Humans != 2 {
		t.Errorf("%+v", l)
	}
	if n := w.game.Asked()["login"]; n != 1 {
		t.Errorf("the password was sent %d times", n)
	}
	if _, err := w.Command(t.Context(), 1, 5, w.check.Port, "status"); !errors.Is(err, serverdir.ErrNoPassword) {
		t.Error(err)
	}
	w.game.Tell(t, "leave Nick\nleave Ellis")
	if l, _ := w.look(t); l.Humans != 3 {
		t.Errorf("it is not known whether these are bots: %+v", l)
	}
	w.game.Tell(t, "bots 0")
	if l, _ := w.look(t); !l.Empty() {
		t.Errorf("%+v", l)
	}
}

// What RCON could not tell for the moment is asked again.
func TestRCONThatAnswersLater(t *testing.T) {
	w := setUp(t)
	w.game.Tell(t, "join Ellis\nfault closed")
	if l, _ := w.look(t); !l.Answering || l.Humans != 1 || l.Mode != "" || !l.Stale {
		t.Errorf("%+v", l)
	}
	if l, changed := w.look(t); changed {
		t.Errorf("still: %+v", l)
	}
	w.game.Tell(t, "reset")
	if l, _ := w.look(t); l.Mode != "coop" || l.Stale || l.Players[0].Number != 1 {
		t.Errorf("%+v", l)
	}
}

func TestCommand(t *testing.T) {
	w := setUp(t)
	if answer, err := w.Command(t.Context(), 1, 5, w.check.Port, "echo hello"); answer != "hello\n" || err != nil {
		t.Errorf("%q, %v", answer, err)
	}
	w.password(t, "old")
	if _, err := w.Command(t.Context(), 1, 5, w.check.Port, "echo hello"); !errors.Is(err, rcon.ErrRejected) {
		t.Error(err)
	}
	if _, err := os.Stat(w.passwordFile()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the rejected password is still there: %v", err)
	}
}

func TestLookEndsWithItsContext(t *testing.T) {
	w := setUp(t)
	w.game.Tell(t, "fault silent")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		w.game.Await("info-first", 1)
		cancel()
	}()
	if err := w.Look(ctx, []server.Check{w.check}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
