package workshop

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"left4me/shared/problem"
)

// What the input box takes at most (P11).
const (
	MaxInput = 64 << 10 // bytes
	MaxIDs   = 1000
)

// ParseInput reads what a person pasted: steam ids and workshop links, separated by white space or commas. It returns
// the ids in their order without repeats. The error is a problem that names the first piece that was not understood.
func ParseInput(text string) ([]string, error) {
	if len(text) > MaxInput {
		return nil, problem.Invalid("That is more than %d KiB of text. Please paste it in several parts.", MaxInput>>10)
	}
	var ids []string
	seen := map[string]bool{}
	pieces := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	for _, piece := range pieces {
		id, ok := parsePiece(piece)
		if !ok {
			return nil, problem.Invalid("“%s” is neither a workshop link nor an id. Nothing was added.", shorten(piece))
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	switch {
	case len(ids) == 0:
		return nil, problem.Invalid("Please paste at least one workshop link or id.")
	case len(ids) > MaxIDs:
		return nil, problem.Invalid("Those are %d items; at most %d can be added at once.", len(ids), MaxIDs)
	}
	return ids, nil
}

func parsePiece(piece string) (string, bool) {
	if id, ok := canonicalID(piece); ok {
		return id, true
	}
	u, err := url.Parse(piece)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return "", false
	}
	switch strings.ToLower(u.Host) {
	case "steamcommunity.com", "www.steamcommunity.com":
	default:
		return "", false
	}
	switch strings.TrimSuffix(u.Path, "/") {
	case "/sharedfiles/filedetails", "/workshop/filedetails":
	default:
		return "", false
	}
	return canonicalID(u.Query().Get("id"))
}

// canonicalID is s without leading zeros if it can be a steam id, which is an unsigned 64-bit number.
func canonicalID(s string) (string, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return "", false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return "", false
	}
	return strconv.FormatUint(n, 10), true
}

// shorten makes a stranger's piece fit into a sentence.
func shorten(piece string) string {
	piece = strings.ToValidUTF8(piece, "�")
	if utf8.RuneCountInString(piece) > 60 {
		return string([]rune(piece)[:60]) + "…"
	}
	return piece
}
