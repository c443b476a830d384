// Package a2s asks game servers what they are doing, over UDP, as Valve's page "Server queries" describes it. What they answer is
// strangers' input.
package a2s

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Answer is what a server says of itself. Its texts are valid UTF-8.
type Answer struct {
	// Name is the server's name in the game.
	Name string
	// Map is the map that is being played.
	Map string
	// Players counts who is connected, bots included, of Slots at most.
	Players, Slots, Bots int
}

// Player is somebody on a server. The name is valid UTF-8, may be empty, and need not be the only one of its kind.
type Player struct {
	Name  string
	Score int
	// Time is how long the player has been on the server.
	Time time.Duration
}

const (
	// single begins a packet that is a whole answer, and several one that is a part of an answer.
	single  = "\xFF\xFF\xFF\xFF"
	several = "\xFE\xFF\xFF\xFF"
	// maxPacket is more than a server sends in a packet.
	maxPacket = 4096
	// maxParts is more than the parts of the answer of a server full of players.
	maxParts = 8
	// maxChallenges is how many challenges are answered.
	maxChallenges = 5
)

// Info asks the server at an address what it is doing, and waits for its answer until ctx ends. Packets that are no answer do not count. An
// answer may come from another address of the same machine, but comes from the same port. The error is the socket's, or says what came
// instead and wraps ctx's.
func Info(ctx context.Context, server netip.AddrPort) (Answer, error) {
	return ask(ctx, server, "TSource Engine Query\x00", "", parseInfo)
}

// Players is like Info, but asks who is on the server. Those who are about to join may be missing, which Info counts.
func Players(ctx context.Context, server netip.AddrPort) ([]Player, error) {
	return ask(ctx, server, "U", "\xFF\xFF\xFF\xFF", parsePlayers)
}

// ask asks a question, followed by the challenge that the server wants, which is none at first. parse reads an answer without its header.
func ask[T any](ctx context.Context, server netip.AddrPort, question, none string, parse func([]byte) (T, error)) (nothing T, err error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nothing, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	send := func(challenge string) error {
		_, err := conn.WriteToUDPAddrPort([]byte(single+question+challenge), server)
		return err
	}
	if err := send(none); err != nil {
		return nothing, err
	}
	came := errors.New("nothing came")
	packet, all := make([]byte, maxPacket), parts{}
	for challenges := 0; ; {
		n, from, err := conn.ReadFromUDPAddrPort(packet)
		if ctx.Err() != nil {
			return nothing, fmt.Errorf("%s does not answer (%w): %w", server, came, ctx.Err())
		}
		if err != nil {
			return nothing, err
		}
		if from.Port() != server.Port() {
			continue
		}
		answer, challenge, err := read(&all, packet[:n], parse)
		switch {
		case err != nil:
			came = err
		case challenge == nil:
			return answer, nil
		default:
			came = errors.New("a challenge came")
			if challenges++; challenges > maxChallenges {
				continue
			}
			if err := send(string(challenge)); err != nil {
				return nothing, err
			}
		}
	}
}

// read reads a packet. It returns the answer that it is or completes or, if the server wants the question again with a challenge, that.
func read[T any](all *parts, packet []byte, parse func([]byte) (T, error)) (answer T, challenge []byte, err error) {
	whole, err := all.add(packet)
	if err != nil {
		return answer, nil, err
	}
	if challenge, is := bytes.CutPrefix(whole, []byte("A")); is {
		if len(challenge) != 4 {
			return answer, nil, errCut
		}
		return answer, challenge, nil
	}
	answer, err = parse(whole)
	return answer, nil, err
}

var (
	errCut     = errors.New("a packet came that ends too early")
	errNoWhole = errors.New("a packet came that is no whole answer")
)

// parts are those of one answer that have come.
type parts struct {
	id  [4]byte
	all [][]byte // by their number; nil for one that has not come
}

// add returns the answer, without its header, that a packet is or completes. Otherwise the error says what the packet is.
func (p *parts) add(packet []byte) ([]byte, error) {
	if answer, is := bytes.CutPrefix(packet, []byte(single)); is && len(answer) > 0 {
		return answer, nil
	}
	part, is := bytes.CutPrefix(packet, []byte(several))
	if !is {
		return nil, errNoWhole
	}
	r := reader{rest: part}
	id := [4]byte(r.bytes(4))
	total, number := int(r.bytes(1)[0]), int(r.bytes(1)[0])
	r.bytes(2) // size of a part
	if r.cut {
		return nil, errCut
	}
	if id[3]&0x80 != 0 || total > maxParts || number >= total { // compressed answers are those of another engine
		return nil, errNoWhole
	}
	if id != p.id || total != len(p.all) {
		p.id, p.all = id, make([][]byte, total)
	}
	p.all[number] = append([]byte{}, r.rest...)
	for _, part := range p.all {
		if part == nil {
			return nil, errNoWhole
		}
	}
	answer, is := bytes.CutPrefix(bytes.Join(p.all, nil), []byte(single))
	if !is || len(answer) == 0 {
		return nil, errNoWhole
	}
	return answer, nil
}

func parseInfo(packet []byte) (a Answer, err error) {
	r, err := fields(packet, 'I')
	if err != nil {
		return Answer{}, err
	}
	r.bytes(1) // version of the protocol
	a.Name = r.text()
	a.Map = r.text()
	r.text()   // directory
	r.text()   // name of the game
	r.bytes(2) // id of the game
	counts := r.bytes(3)
	r.bytes(4) // kind of server, system, password, VAC
	r.text()   // version of the game
	if !r.cut && len(r.rest) > 0 {
		flags := r.bytes(1)[0]
		for _, more := range extra {
			if flags&more.flag != 0 {
				r.bytes(more.length)
				if more.text {
					r.text()
				}
			}
		}
	}
	if r.cut {
		return Answer{}, errCut
	}
	a.Players, a.Slots, a.Bots = int(counts[0]), int(counts[1]), int(counts[2])
	return a, nil
}

// extra are the fields at the end of an answer, each with its flag, in order: the port, the server's id, port and name of SourceTV, tags,
// the game's id.
var extra = []struct {
	flag   byte
	length int
	text   bool // follows
}{{0x80, 2, false}, {0x10, 8, false}, {0x40, 2, true}, {0x20, 0, true}, {0x01, 8, false}}

func parsePlayers(packet []byte) ([]Player, error) {
	r, err := fields(packet, 'D')
	if err != nil {
		return nil, err
	}
	var all []Player
	for range r.bytes(1)[0] {
		r.bytes(1) // always 0 in this game
		p := Player{Name: r.text()}
		p.Score = int(int32(binary.LittleEndian.Uint32(r.bytes(4))))
		if seconds := math.Float32frombits(binary.LittleEndian.Uint32(r.bytes(4))); seconds > 0 && seconds < maxSeconds {
			p.Time = time.Duration(float64(seconds) * float64(time.Second))
		}
		all = append(all, p)
	}
	if r.cut {
		return nil, errCut
	}
	return all, nil
}

// maxSeconds is longer than anybody plays.
const maxSeconds = 1 << 30

// fields returns a reader of the fields of an answer of that kind.
func fields(packet []byte, kind byte) (*reader, error) {
	if packet[0] != kind {
		return nil, fmt.Errorf("another answer came, of the kind %q", packet[0])
	}
	return &reader{rest: packet[1:]}, nil
}

// reader reads fields. Once one is missing, cut is true and all are empty.
type reader struct {
	rest []byte
	cut  bool
}

// bytes returns the next n bytes, zero if they are missing.
func (r *reader) bytes(n int) []byte {
	if r.cut || len(r.rest) < n {
		r.cut = true
		return make([]byte, n)
	}
	field := r.rest[:n]
	r.rest = r.rest[n:]
	return field
}

// text returns the next text, which ends with a zero byte.
func (r *reader) text() string {
	text, rest, found := bytes.Cut(r.rest, []byte{0})
	if r.cut || !found {
		r.cut = true
		return ""
	}
	r.rest = rest
	return strings.ToValidUTF8(string(text), "\uFFFD")
}
