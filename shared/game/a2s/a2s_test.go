package a2s

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const fixed = single + "I\x11Friday \xC3\xA9vening\x00c1m1_hotel\x00left4dead2\x00Left 4 Dead 2\x00\x26\x02\x03\x08\x01dl\x00\x012.2.4.3\x00"

// full has all extra fields.
const full = fixed + "\xF1\x87\x69ABCDEFGH\x88\x69SourceTV\x00tag,other\x00HGFEDCBA"

var want = Answer{Name: "Friday évening", Map: "c1m1_hotel", Players: 3, Slots: 8, Bots: 1}

// game is a server. Each question goes to asked, and is answered by reply.
type game struct {
	net.PacketConn
	asked chan string
}

func start(t *testing.T, reply func(g game, asked string, to net.Addr)) game {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	g := game{conn, make(chan string, 100)}
	go func() {
		packet := make([]byte, maxPacket)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			g.asked <- string(packet[:n])
			reply(g, string(packet[:n]), from)
		}
	}()
	return g
}

func (g game) address() netip.AddrPort { return g.LocalAddr().(*net.UDPAddr).AddrPort() }

// within is far more time than an answer takes.
func within(t *testing.T) context.Context {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(stop)
	return ctx
}

func TestAnswers(t *testing.T) {
	for about, replies := range map[string][]string{
		"at once":              {fixed},
		"with extra fields":    {full},
		"twice":                {full, full},
		"after other packets":  {"", "\xFF\xFF\xFF\xFF", "\xFF\xFF\xFF\xFFDx", fixed[:len(fixed)-1], "\xFE\xFF\xFF\xFF\x01\x00\x00\x00\x02\x00\xE0\x04" + full, full[:len(full)-1], single + "Axyz", single + "D\x00", fixed},
		"with more than known": {full + "more"},
	} {
		g := start(t, func(g game, _ string, to net.Addr) {
			for _, r := range replies {
				g.WriteTo([]byte(r), to)
			}
		})
		if got, err := Info(within(t), g.address()); err != nil || got != want {
			t.Errorf("%s: %+v, %v", about, got, err)
		}
		if asked := <-g.asked; asked != "\xFF\xFF\xFF\xFFTSource Engine Query\x00" {
			t.Errorf("%s: asked %q", about, asked)
		}
	}
}

func TestAChallengeIsAnswered(t *testing.T) {
	g := start(t, func(g game, asked string, to net.Addr) {
		if strings.HasSuffix(asked, "Query\x00\x01\x00\xFF\x7F") {
			g.WriteTo([]byte(full), to)
		} else {
			g.WriteTo([]byte(single+"A\x01\x00\xFF\x7F"), to)
		}
	})
	if got, err := Info(within(t), g.address()); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

// A server on a machine with several addresses may answer from another one than was asked.
func TestAnAnswerFromAnotherAddress(t *testing.T) {
	others := make(chan net.PacketConn, 1)
	g := start(t, func(_ game, _ string, to net.Addr) { (<-others).WriteTo([]byte(full), to) })
	other, err := net.ListenPacket("udp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), g.address().Port()).String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	others <- other
	if got, err := Info(within(t), g.address()); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

// What another program sends is no answer.
func TestAnAnswerFromAnotherPort(t *testing.T) {
	stranger, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	g := start(t, func(g game, _ string, to net.Addr) {
		stranger.WriteTo([]byte(strings.Replace(full, "c1m1", "evil", 1)), to)
		g.WriteTo([]byte(full), to)
	})
	if got, err := Info(within(t), g.address()); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

// parse reads a single packet.
func parse(packet string) (Answer, []byte, error) { return read(&parts{}, []byte(packet), parseInfo) }

func TestWhatIsNoAnswer(t *testing.T) {
	for packet, says := range map[string]string{
		"":                   "a packet came that is no whole answer",
		single:               "a packet came that is no whole answer",
		several + full[4:]:   "a packet came that is no whole answer",
		several + "\x01\x00": "a packet came that ends too early",
		single + "D":         "another answer came, of the kind 'D'",
		single + "A123":      "a packet came that ends too early",
		single + "A12345":    "a packet came that ends too early",
	} {
		if a, challenge, err := parse(packet); err == nil || err.Error() != says || challenge != nil || a != (Answer{}) {
			t.Errorf("%q: %+v, %q, %v", packet, a, challenge, err)
		}
	}
	for n := len(single) + 1; n < len(full); n++ {
		if a, _, err := parse(full[:n]); n != len(fixed) && (!errors.Is(err, errCut) || a != (Answer{})) {
			t.Errorf("the first %d bytes: %+v, %v", n, a, err)
		}
	}
}

// Waiting ends with the context, whatever comes. Not every challenge is answered.
func TestWaitingEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	g := start(t, func(g game, _ string, to net.Addr) {
		if asked++; asked > maxChallenges {
			cancel()
			return
		}
		for _, r := range []string{single + "A1234", single + "A1234", single + "D"} {
			g.WriteTo([]byte(r), to)
		}
	})
	if _, err := Info(ctx, g.address()); !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), g.address().String()+" does not answer (") {
		t.Errorf("%v", err)
	}
	if n := len(g.asked); n > 1+maxChallenges {
		t.Errorf("asked %d times", n)
	}
	if _, err := Info(t.Context(), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 0)); err == nil {
		t.Error("port 0 answers")
	}
}

// who has a name twice, an empty one, and times that are none.
const who = single + "D\x05" + "\x00Nick\x00\x0C\x00\x00\x00\x00\x00\xFA\x42" + "\x00Nick\x00\xFF\xFF\xFF\xFF\x00\x00\x80\x3F" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00a\xFFb\x00\x00\x00\x00\x00\x00\x00\xC0\x7F" + "\x00x\x00\x00\x00\x00\x00\x00\x00\x80\xFF"

func TestPlayers(t *testing.T) {
	part := func(number byte, text string) string {
		return several + "\x07\x00\x00\x00\x02" + string(number) + "\xE0\x04" + text
	}
	asked := "\xFF\xFF\xFF\xFFU\x01\x02\x03\x04"
	want := []Player{{"Nick", 12, 125 * time.Second}, {"Nick", -1, time.Second}, {}, {Name: "a\uFFFDb"}, {Name: "x"}}
	for about, replies := range map[string][]string{
		"at once":                   {who},
		"after half of it":          {who[:30], who},
		"after other answers":       {full, single + "A", who},
		"in parts":                  {part(0, who[:20]), part(1, who[20:])},
		"in parts in another order": {part(1, who[20:]), part(1, who[20:]), part(0, who[:20])},
		"after parts of another":    {several + "\x06\x00\x00\x00\x02\x00\xE0\x04lost", part(0, who[:20]), part(1, who[20:])},
		"after what are no parts":   {several + "\x07", several + "\x07\x00\x00\x80\x01\x00\xE0\x04" + who, part(2, who), several + "\x09\x00\x00\x00\x01\x00\xE0\x04" + who[4:], who},
	} {
		g := start(t, func(g game, question string, to net.Addr) {
			if question != asked {
				g.WriteTo([]byte(single+"A\x01\x02\x03\x04"), to)
				return
			}
			for _, r := range replies {
				g.WriteTo([]byte(r), to)
			}
		})
		if got, err := Players(within(t), g.address()); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %+v, %v", about, got, err)
		}
		if first := <-g.asked; first != "\xFF\xFF\xFF\xFFU\xFF\xFF\xFF\xFF" {
			t.Errorf("%s: asked %q", about, first)
		}
	}
	if got, _, err := read(&parts{}, []byte(single+"D\x00"), parsePlayers); err != nil || len(got) != 0 {
		t.Errorf("nobody: %v, %v", got, err)
	}
	for n := len(single) + 1; n < len(who); n++ {
		if got, _, err := read(&parts{}, []byte(who[:n]), parsePlayers); !errors.Is(err, errCut) || got != nil {
			t.Errorf("the first %d bytes: %+v, %v", n, got, err)
		}
	}
}

// FuzzRead reads two packets, of which the second may complete the first.
func FuzzRead(f *testing.F) {
	half := several + "\x07\x00\x00\x00\x02\x00\xE0\x04"
	for _, s := range []string{fixed, full, full[:50], who, who[:50], single + "A1234", single, several, half + who[:20], several + "\x07\x00\x00\x00\x02\x01\xE0\x04" + who[20:]} {
		f.Add([]byte(half+who[:20]), []byte(s))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var info, players parts
		for _, packet := range [][]byte{first, second} {
			a, challenge, err := read(&info, packet, parseInfo)
			if (err != nil || challenge != nil) && a != (Answer{}) || err != nil && challenge != nil {
				t.Errorf("%+v, %q, %v", a, challenge, err)
			}
			if err == nil && challenge == nil && !bytes.HasPrefix(packet, []byte(single+"I")) && !bytes.HasPrefix(packet, []byte(several)) {
				t.Errorf("%q is an answer", packet)
			}
			if !utf8.ValidString(a.Name+a.Map) || len(challenge) != 0 && len(challenge) != 4 {
				t.Errorf("%+v, %q", a, challenge)
			}
			all, _, err := read(&players, packet, parsePlayers)
			if err != nil && all != nil {
				t.Errorf("%+v, %v", all, err)
			}
			for _, p := range all {
				if !utf8.ValidString(p.Name) || p.Time < 0 {
					t.Errorf("%+v", p)
				}
			}
			if len(info.all) > maxParts {
				t.Errorf("%d parts", len(info.all))
			}
		}
	})
}
