// Package steam is the client of Steam: of its Web API for details of workshop items and collections, and of its content
// hosts for their files. It handles how Steam really answers (numbers as strings, HTML instead of JSON, missing items, links
// to a picture), and trusts no answer.
//
// It stores nothing: shared/workshop stores rows, and shared/vpkcache stores files and verifies downloads.
package steam

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const userAgent = "left4me"

// printable makes untrusted text safe to show: valid UTF-8 of at most limit runes, without control characters, line breaks,
// changes of writing direction or surrounding white space.
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
