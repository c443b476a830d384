package jobstore

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"left4me/shared/text"
)

// The longest stored texts, in bytes. They contain titles and URLs from Steam, of any length.
const (
	maxLine    = 2000
	maxError   = 2000
	maxCurrent = 300
)

// clean returns s as one line of valid UTF-8 of at most limit bytes, without characters that change how text around them is
// displayed.
func clean(s string, limit int) string {
	return text.Truncate(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == '\u2028', r == '\u2029':
			return utf8.RuneError
		}
		return r
	}, s), limit)
}
