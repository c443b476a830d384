package vpk

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
)

// node is a key of a KeyValues text with its value or, if it is a block, its children.
type node struct {
	key, value string
	children   []*node
}

// Limits of a text. What is beyond them is left out.
const (
	maxNodes = 10_000
	maxDepth = 32
)

// parse reads Valve's KeyValues and returns the top-level keys. It takes whatever it gets: unquoted words, comments, conditions, missing
// and superfluous braces. A backslash is a character like any other, as in the game.
func parse(text string) []*node {
	root := &node{}
	open := []*node{root}
	s := scanner{text}
	var key *node // the key that has no value yet
	for nodes := 0; nodes < maxNodes; {
		token, kind := s.next()
		parent := open[len(open)-1]
		switch {
		case kind == end:
			return root.children
		case kind == openBrace:
			if key == nil { // a block without a key
				key = &node{}
				parent.children = append(parent.children, key)
				nodes++
			}
			if len(open) == maxDepth {
				return root.children
			}
			open, key = append(open, key), nil
		case kind == closeBrace:
			key = nil
			if len(open) > 1 {
				open = open[:len(open)-1]
			}
		case kind == word && strings.HasPrefix(token, "["): // a condition, such as [$X360]
		case key == nil:
			key = &node{key: token}
			parent.children = append(parent.children, key)
			nodes++
		default:
			key.value, key = token, nil
		}
	}
	return root.children
}

type tokenKind int

const (
	end tokenKind = iota
	openBrace
	closeBrace
	quoted
	word
)

type scanner struct{ rest string }

const space = " \t\r\n\v\f\x00"

func (s *scanner) next() (token string, kind tokenKind) {
	for {
		s.rest = strings.TrimLeft(s.rest, space)
		if !strings.HasPrefix(s.rest, "//") {
			break
		}
		_, s.rest, _ = strings.Cut(s.rest, "\n")
	}
	if s.rest == "" {
		return "", end
	}
	switch s.rest[0] {
	case '{':
		s.rest = s.rest[1:]
		return "", openBrace
	case '}':
		s.rest = s.rest[1:]
		return "", closeBrace
	case '"':
		token, s.rest, _ = strings.Cut(s.rest[1:], `"`)
		return token, quoted
	}
	n := strings.IndexAny(s.rest, space+`"{}`)
	if n < 0 {
		n = len(s.rest)
	}
	token, s.rest = s.rest[:n], s.rest[n:]
	return token, word
}

// find returns the key of that name, in any case of letters, that is the least deep among nodes and what is in them; nil for none.
func find(nodes []*node, key string) *node {
	for level := nodes; len(level) > 0; {
		var next []*node
		for _, n := range level {
			if strings.EqualFold(n.key, key) {
				return n
			}
			next = append(next, n.children...)
		}
		level = next
	}
	return nil
}

// child returns the value of a key of n in any case of letters; empty for none.
func (n *node) child(key string) string {
	i := slices.IndexFunc(n.children, func(c *node) bool { return strings.EqualFold(c.key, key) })
	if i < 0 {
		return ""
	}
	return n.children[i].value
}

// decode returns a text as UTF-8. It may be UTF-16 with a byte order mark. What is not UTF-8 is replaced.
func decode(raw []byte) string {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(raw, []byte{0xFF, 0xFE}):
		order = binary.LittleEndian
	case bytes.HasPrefix(raw, []byte{0xFE, 0xFF}):
		order = binary.BigEndian
	default:
		return strings.ToValidUTF8(strings.TrimPrefix(string(raw), "\uFEFF"), "\uFFFD")
	}
	var b strings.Builder
	b.Grow(len(raw))
	for raw = raw[2:]; len(raw) >= 2; raw = raw[2:] {
		unit := rune(order.Uint16(raw))
		if utf16.IsSurrogate(unit) && len(raw) >= 4 {
			if pair := utf16.DecodeRune(unit, rune(order.Uint16(raw[2:]))); pair != unicode.ReplacementChar {
				unit, raw = pair, raw[2:]
			}
		}
		b.WriteRune(unit) // half a pair is replaced
	}
	return b.String()
}
