package jobstore

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// How long stored texts may be, in bytes. Steam's titles and URLs get into them, so their length is not ours to trust.
const (
	maxLine    = 2000
	maxError   = 2000
	maxCurrent = 300
)

const ellipsis = "…"

// clean makes s one line of valid UTF-8 of at most limit bytes without characters that would change how text around it is
// shown.
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
