// Package a2s asks game servers what they are doing, over UDP, as Valve's page "Server queries" describes it. What they answer is
// strangers' input.
package a2s

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

const (
	// single begins a packet that is a whole answer.
	single = "\xFF\xFF\xFF\xFF"
	ask    = single + "TSource Engine Query\x00"
	// maxPacket is more than a server sends in a packet.
	maxPacket = 4096
	// maxChallenges is how many challenges are answered.
	maxChallenges = 5
)

// Info asks the server at an address and waits for its answer until ctx ends. Packets that are no answer do not count. An answer may come
// from another address of the same machine, but comes from the same port. The error is the socket's, or says what came instead and wraps
// ctx's.
func Info(ctx context.Context, server netip.AddrPort) (Answer, error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	if _, err := conn.WriteToUDPAddrPort([]byte(ask), server); err != nil {
		return Answer{}, err
	}
	came := errors.New("nothing came")
	packet := make([]byte, maxPacket)
	for challenges := 0; ; {
		n, from, err := conn.ReadFromUDPAddrPort(packet)
		if ctx.Err() != nil {
			return Answer{}, fmt.Errorf("%s does not answer (%w): %w", server, came, ctx.Err())
		}
		if err != nil {
			return Answer{}, err
		}
		if from.Port() != server.Port() {
			continue
		}
		answer, challenge, err := parse(packet[:n])
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
			if _, err := conn.WriteToUDPAddrPort(append([]byte(ask), challenge...), server); err != nil {
				return Answer{}, err
			}
		}
	}
}

var errCut = errors.New("a packet came that ends too early")

// parse reads a packet: an answer or, if the server wants the question again with a challenge, that. An answer in several packets is an
// error: this one is short.
func parse(packet []byte) (a Answer, challenge []byte, err error) {
	kind, isSingle := bytes.CutPrefix(packet, []byte(single))
	switch {
	case !isSingle || len(kind) == 0:
		return Answer{}, nil, errors.New("a packet came that is no whole answer")
	case kind[0] == 'A':
		if len(kind) != 5 {
			return Answer{}, nil, errCut
		}
		return Answer{}, kind[1:], nil
	case kind[0] != 'I':
		return Answer{}, nil, fmt.Errorf("another answer came, of the kind %q", kind[0])
	}
	r := reader{rest: kind[1:]}
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
		return Answer{}, nil, errCut
	}
	a.Players, a.Slots, a.Bots = int(counts[0]), int(counts[1]), int(counts[2])
	return a, nil, nil
}

// extra are the fields at the end of an answer, each with its flag, in order: the port, the server's id, port and name of SourceTV, tags,
// the game's id.
var extra = []struct {
	flag   byte
	length int
	text   bool // follows
}{{0x80, 2, false}, {0x10, 8, false}, {0x40, 2, true}, {0x20, 0, true}, {0x01, 8, false}}

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
