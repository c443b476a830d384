package dbtest

import "strings"

// scanned are the facts about an SQL text that the protocol needs and the embedded driver does not tell.
type scanned struct {
	statements int
	// words are the unquoted words of the first statement, in capitals.
	words []string
	// params are the names of the first statement's parameters, with their prefixes and without repetitions, but with every ?.
	params []string
}

func (s scanned) verb() string {
	if len(s.words) == 0 {
		return ""
	}
	return s.words[0]
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80
}

// scan parses an SQL text. Semicolons inside a trigger do not end its statement.
func scan(sql string) scanned {
	var s scanned
	var inside, trigger bool
	depth := 0 // of BEGIN and CASE in a trigger
	seen := map[string]bool{}
	rest := sql
	take := func(n int) string {
		token := rest[:min(n, len(rest))]
		rest = rest[len(token):]
		return token
	}
	word := func(from int) int {
		for from < len(rest) && isWord(rest[from]) {
			from++
		}
		return from
	}
	through := func(end string, from int) int {
		if i := strings.Index(rest[from:], end); i >= 0 {
			return from + i + len(end)
		}
		return len(rest)
	}
	for rest != "" {
		c := rest[0]
		switch {
		case strings.IndexByte(" \t\r\n\f", c) >= 0:
			take(1)
			continue
		case strings.HasPrefix(rest, "--"):
			take(through("\n", 2))
			continue
		case strings.HasPrefix(rest, "/*"):
			take(through("*/", 2))
			continue
		case c == ';':
			take(1)
			if !trigger || depth == 0 && s.words[len(s.words)-1] == "END" {
				inside, trigger = false, false
			}
			continue
		}
		if !inside {
			inside = true
			s.statements++
		}
		first := s.statements == 1
		switch {
		case strings.IndexByte("'\"`", c) >= 0:
			take(through(string(c), 1)) // a doubled quote becomes two adjacent texts, which does not matter here
		case c == '[':
			take(through("]", 1))
		case strings.IndexByte("?:@$", c) >= 0:
			name := take(word(1))
			if first && (name == "?" || len(name) > 1 && !seen[name]) {
				s.params = append(s.params, name)
				seen[name] = true
			}
		case isWord(c):
			w := strings.ToUpper(take(word(0)))
			if !first {
				continue
			}
			s.words = append(s.words, w)
			switch {
			case w == "TRIGGER" && s.words[0] == "CREATE" && len(s.words) <= 3:
				trigger = true
			case trigger && (w == "BEGIN" || w == "CASE"):
				depth++
			case trigger && w == "END":
				depth--
			}
		default:
			take(1)
		}
	}
	return s
}
