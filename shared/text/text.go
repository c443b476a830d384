// Package text shortens and cleans texts and lists that people read.
package text

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

const ellipsis = "…"

// Truncate returns s as valid UTF-8 of at most limit bytes. A longer text is cut between two characters and ends with "…".
func Truncate(s string, limit int) string {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if len(s) <= limit {
		return s
	}
	end := max(0, limit-len(ellipsis))
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}

// Line returns s as one line of valid UTF-8 of at most limit bytes, without characters that change how text around them is displayed.
func Line(s string, limit int) string {
	return Truncate(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029':
			return utf8.RuneError
		}
		return r
	}, s), limit)
}

// List joins at most limit items with sep, and says how many more there are: "a, b and 3 more".
func List(items []string, limit int, sep string) string {
	if len(items) <= limit {
		return strings.Join(items, sep)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:limit], sep), len(items)-limit)
}

// Pattern returns a regular expression that is compiled when it is first used: most starts of a program do not need it.
func Pattern(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
