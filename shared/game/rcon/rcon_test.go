package rcon_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"left4me/shared/game/gametest"
	"left4me/shared/game/rcon"
)

// within is far more time than an answer takes.
func within(t *testing.T) context.Context {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(stop)
	return ctx
}

func dial(t *testing.T, g *gametest.Game) *rcon.Conn {
	t.Helper()
	c, err := rcon.Dial(within(t), g.Address(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCommands(t *testing.T) {
	for _, faults := range []string{"", "fault twice"} {
		g := gametest.StartGame(t)
		g.Tell(t, faults)
		c := dial(t, g)
		for _, one := range []struct{ command, answer string }{
			{"echo one", "one\n"}, {"say hello", ""}, {`echo "a; b"; echo c`, "a; b\nc\n"}, {"echo \xff", "\uFFFD\n"}, {"", ""},
		} {
			if got, err := c.Command(within(t), one.command); err != nil || got != one.answer {
				t.Errorf("%s: %q: %q, %v", faults, one.command, got, err)
			}
		}
	}
}

func TestAnAnswerOfSeveralPackets(t *testing.T) {
	c := dial(t, gametest.StartGame(t))
	got, err := c.Command(within(t), "cvarlist")
	if lines := strings.Split(got, "\n"); err != nil || len(lines) != 2001 || lines[1999] != "sv_variable_1999 : 0 : \"sv\" : \u00a0" {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	if got, err := c.Command(within(t), "echo after"); err != nil || got != "after\n" {
		t.Errorf("%q, %v", got, err)
	}
	got, err = c.Command(within(t), strings.Repeat("cvarlist;", 5))
	if !errors.Is(err, rcon.ErrTooLong) || len(got) > rcon.MaxAnswer || !strings.HasPrefix(got, "sv_variable_0000") {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestARejectedPassword(t *testing.T) {
	g := gametest.StartGame(t)
	if _, err := rcon.Dial(within(t), g.Address(), "wrong"); !errors.Is(err, rcon.ErrRejected) {
		t.Error(err)
	}
	if asked := g.Asked()["login"]; asked != 1 {
		t.Errorf("the password was sent %d times", asked)
	}
}

func TestAServerThatDoesNotAnswerAsItShould(t *testing.T) {
	for fault, want := range map[string]string{
		"truncated": "half a packet",
		"closed":    "closed",
	} {
		g := gametest.StartGame(t)
		g.Tell(t, "fault "+fault)
		if _, err := rcon.Dial(within(t), g.Address(), "secret"); err == nil || !strings.Contains(err.Error(), want) {
			// A connection that is closed while it is written to may also be reset.
			if fault != "closed" || err == nil || !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") {
				t.Errorf("%s: %v", fault, err)
			}
		}
	}
	g := gametest.StartGame(t)
	c := dial(t, g)
	g.Tell(t, "fault truncated")
	if got, err := c.Command(within(t), "status"); err == nil || got != "" {
		t.Errorf("half an answer: %q, %v", got, err)
	}
}

// Waiting ends with the context, during the login and during a command. What comes later is not the answer of the next command.
func TestWaitingEnds(t *testing.T) {
	for _, fault := range []string{"silent", "hold"} {
		g := gametest.StartGame(t)
		c := dial(t, g)
		g.Tell(t, "fault "+fault)
		for what, do := range map[string]func(context.Context) error{
			"login":   func(ctx context.Context) error { _, err := rcon.Dial(ctx, g.Address(), "secret"); return err },
			"command": func(ctx context.Context) error { _, err := c.Command(ctx, "echo late"); return err },
		} {
			ctx, cancel := context.WithCancel(within(t))
			go func() {
				g.Await(what, g.Asked()[what]+1)
				cancel()
			}()
			if err := do(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s, %s: %v", fault, what, err)
			}
			cancel()
		}
		g.Tell(t, "release")
	}
}

func TestWhatIsNoCommandIsNotSent(t *testing.T) {
	g := gametest.StartGame(t)
	c := dial(t, g)
	for _, command := range []string{"say a\nquit", "say a\rquit", "say a\x00quit", strings.Repeat("a", rcon.MaxCommand+1)} {
		if _, err := c.Command(within(t), command); err == nil {
			t.Errorf("%q was sent", command)
		}
	}
	if sent := g.Commands(); len(sent) != 0 {
		t.Errorf("sent: %q", sent)
	}
}

// FuzzAnswers lets a server send anything after the login or instead of it.
func FuzzAnswers(f *testing.F) {
	login := "\x0a\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00\x00"
	end := "\x0a\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	for _, s := range []string{login + end, login + "\x0c\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00hi\x00\x00" + end, login + "\xff\xff\xff\x7f", "\x0a\x00\x00\x00\xff\xff\xff\xff\x02\x00\x00\x00\x00\x00", strings.Repeat(end, 100), login[:9], ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answers []byte) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write(answers)
			_ = conn.(*net.TCPConn).CloseWrite()
			b := make([]byte, 1<<10)
			for err == nil {
				_, err = conn.Read(b)
			}
			_ = conn.Close()
		}()
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		c, err := rcon.Dial(ctx, l.Addr().(*net.TCPAddr).AddrPort(), "secret")
		if err != nil {
			return
		}
		defer c.Close()
		if got, err := c.Command(ctx, "status"); err != nil && !errors.Is(err, rcon.ErrTooLong) && got != "" || len(got) > 3*len(answers) || ctx.Err() != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

func TestNobodyListens(t *testing.T) {
	if _, err := rcon.Dial(within(t), netip.MustParseAddrPort("127.0.0.1:1"), "secret"); err == nil {
		t.Error("connected")
	}
}

// The stand-in splits commands as the game does, so that tests see a command that hides in another one.
func TestTheStandInSplitsCommands(t *testing.T) {
	g := gametest.StartGame(t)
	c := dial(t, g)
	if _, err := c.Command(within(t), `say "a;b" c;echo  "" d`); err != nil {
		t.Fatal(err)
	}
	if got := g.Commands(); !slices.Equal(got, []string{"say a;b c", "echo  d"}) {
		t.Errorf("%q", got)
	}
}
