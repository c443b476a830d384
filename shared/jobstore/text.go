package jobstore

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest stored texts, in bytes. They contain titles and URLs from Steam, of any length.
const (
	maxLine    = 2000
	maxError   = 2000
	maxCurrent = 300
)

const ellipsis = "…"

// clean returns s as one line of valid UTF-8 of at most limit bytes, without characters that change how text around them is
// displayed.
func clean(s string, limit int) string {
	cut := len(s) > limit
	if cut {
		s = s[:limit]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029':
			return utf8.RuneError
		}
		return r // of a byte that is not UTF-8, strings.Map makes utf8.RuneError
	}, s)
	if !cut && len(s) <= limit {
		return s
	}
	end := limit - len(ellipsis)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
