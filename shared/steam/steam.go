// Package steam asks Steam: its Web API for what is known about workshop items and collections, and its content hosts
// for their files. It knows how Steam really answers (numbers as strings, HTML in place of JSON, items left out, links
// that lead to a picture) and trusts none of it.
//
// It stores nothing: rows are the workshop package's, files vpkcache's, which also verifies what was downloaded.
package steam

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const userAgent = "left4me"

// printable makes a stranger's text fit to be shown: no control characters, line breaks or changes of writing direction,
// valid UTF-8, no white space around it, at most limit runes.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if runes := []rune(s); len(runes) > limit {
		s = strings.TrimSpace(string(runes[:limit]))
	}
	return s
}
