// Package rcon sends commands to game servers over TCP, as Valve's page "Source RCON Protocol" describes it. What servers answer is bounded,
// and is strangers' input: it has the names that players give themselves.
package rcon

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// ErrRejected means that the server does not accept the password. It bans addresses that try several times, so do not try again.
var ErrRejected = errors.New("the game does not accept the password for RCON")

// ErrTooLong means that an answer is longer than MaxAnswer.
var ErrTooLong = fmt.Errorf("the answer is longer than %d KiB", MaxAnswer>>10)

const (
	// MaxCommand is the longest command, in bytes: the game ignores longer ones.
	MaxCommand = 500
	// MaxAnswer is the longest answer, in bytes.
	MaxAnswer = 256 << 10
	// maxPacket is more than a server sends in a packet.
	maxPacket = 8 << 10
	// maxForeign is how many packets may come that are not part of the answer.
	maxForeign = 64
)

// The types of packets. A server's answer to login has the type of a command.
const (
	typeAnswer  = 0
	typeCommand = 2
	typeLogin   = 3
)

// loginID is the id of the packet with the password. Those of commands follow.
const loginID = 1

// Conn is a connection to a server. It is used by one goroutine, and after an error only closed.
type Conn struct {
	conn net.Conn
	last int32 // id of the last packet that was sent
}

// Dial connects to the server at an address with its password until ctx ends. The error is ErrRejected, ctx's, or about the connection.
func Dial(ctx context.Context, server netip.AddrPort, password string) (*Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", server.String())
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: conn, last: loginID}
	if err := c.bounded(ctx, func() error { return c.login(password) }); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

// Close closes the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Command sends a command, and returns its whole answer as valid UTF-8, which is often empty. After ErrTooLong it is the first part of the
// answer. The other errors are ctx's, or about the connection.
func (c *Conn) Command(ctx context.Context, command string) (answer string, err error) {
	if len(command) > MaxCommand || strings.ContainsAny(command, "\x00\n\r") {
		return "", fmt.Errorf("a command is one line of at most %d bytes", MaxCommand)
	}
	err = c.bounded(ctx, func() error {
		answer, err = c.command(command)
		return err
	})
	return answer, err
}

// bounded does what reads and writes until ctx ends.
func (c *Conn) bounded(ctx context.Context, do func() error) error {
	defer context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)) })()
	err := do()
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%s does not answer: %w", c.conn.RemoteAddr(), ctx.Err())
	}
	return err
}

func (c *Conn) login(password string) error {
	if err := c.send(packet{loginID, typeLogin, password}); err != nil {
		return err
	}
	for range maxForeign { // an empty answer comes first
		p, err := read(c.conn)
		if err != nil {
			return err
		}
		switch {
		case p.kind != typeCommand:
		case p.id == -1:
			return ErrRejected
		case p.id == loginID:
			return nil
		}
	}
	return errForeign
}

var errForeign = errors.New("the server sends other packets than the answer")

// command sends an empty answer after the command, which the server sends back when it is done with the command.
func (c *Conn) command(command string) (string, error) {
	id := c.last + 1
	c.last += 2
	if err := c.send(packet{id, typeCommand, command}, packet{c.last, typeAnswer, ""}); err != nil {
		return "", err
	}
	var answer strings.Builder
	for foreign := 0; foreign < maxForeign; {
		p, err := read(c.conn)
		switch {
		case err != nil:
			return "", err
		case p.kind == typeAnswer && p.id == id && answer.Len()+len(p.body) > MaxAnswer:
			return strings.ToValidUTF8(answer.String(), "\uFFFD"), ErrTooLong
		case p.kind == typeAnswer && p.id == id && p.body != "":
			answer.WriteString(p.body)
		case p.kind == typeAnswer && p.id == c.last:
			return strings.ToValidUTF8(answer.String(), "\uFFFD"), nil
		default: // such as the rest of the answer before, or one that comes twice
			foreign++
		}
	}
	return "", errForeign
}

func (c *Conn) send(all ...packet) error {
	var b []byte
	for _, p := range all {
		b = p.append(b)
	}
	_, err := c.conn.Write(b)
	return err
}

type packet struct {
	id, kind int32
	body     string
}

// append appends the packet as it is sent. Its body has no zero byte.
func (p packet) append(b []byte) []byte {
	for _, n := range []int32{int32(len(p.body)) + rest, p.id, p.kind} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return append(append(b, p.body...), 0, 0)
}

// rest is the size of what a packet has beside its length and its body: id, type, and two zero bytes.
const rest = 4 + 4 + 2

// read reads a packet. Its body ends before its first zero byte.
func read(r io.Reader) (p packet, err error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return p, fmt.Errorf("the server has closed the connection: %w", err)
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n < rest || n > maxPacket {
		return p, fmt.Errorf("the server has sent a packet of %d bytes, which is none of RCON", n)
	}
	content := make([]byte, n)
	if _, err := io.ReadFull(r, content); err != nil {
		return p, fmt.Errorf("the server has sent half a packet: %w", err)
	}
	p.id = int32(binary.LittleEndian.Uint32(content))
	p.kind = int32(binary.LittleEndian.Uint32(content[4:]))
	body, _, _ := bytes.Cut(content[8:], []byte{0})
	p.body = string(body)
	return p, nil
}
