package workshop

import (
	"errors"
	"net/url"
	"strings"
	"unicode"

	"left4me/shared/problem"
	"left4me/shared/steam"
	"left4me/shared/text"
)

// The limits of the input box (P11).
const (
	MaxInput = 64 << 10 // bytes
	MaxIDs   = 1000
)

// maxPiece is how many bytes of pasted text are shown in an error.
const maxPiece = 63

// ParseInput reads pasted steam ids and workshop links, separated by white space, commas or semicolons, and returns the ids in
// their order without repeats. The error is a problem that names the first part that is neither.
func ParseInput(input string) ([]steam.ID, error) {
	if len(input) > MaxInput {
		return nil, problem.Invalid("That is more than %d KiB of text. Please paste it in several parts.", MaxInput>>10)
	}
	var ids []steam.ID
	seen := map[steam.ID]bool{}
	pieces := strings.FieldsFunc(input, func(r rune) bool { return r == ',' || r == ';' || unicode.IsSpace(r) })
	for _, piece := range pieces {
		id, err := parsePiece(piece)
		if err != nil {
			return nil, problem.Invalid("“%s” is neither a workshop link nor an id. Nothing was added.", text.Truncate(piece, maxPiece))
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

// errNoLink means that a link is not one to a workshop item.
var errNoLink = errors.New("no workshop link")

func parsePiece(piece string) (steam.ID, error) {
	if id, err := steam.ParseID(piece); err == nil {
		return id, nil
	}
	if !strings.Contains(piece, "://") {
		piece = "https://" + piece // browsers leave it out in their address bars
	}
	u, err := url.Parse(piece)
	if err != nil || u.User != nil {
		return "", errNoLink
	}
	switch u.Scheme + "://" + strings.ToLower(u.Host) {
	case "https://steamcommunity.com", "https://www.steamcommunity.com", "http://steamcommunity.com", "http://www.steamcommunity.com":
	case "steam://url": // what the Steam client opens
		id, ok := strings.CutPrefix(u.Path, "/CommunityFilePage/")
		if !ok {
			return "", errNoLink
		}
		return steam.ParseID(strings.TrimSuffix(id, "/"))
	default:
		return "", errNoLink
	}
	switch strings.TrimSuffix(u.Path, "/") {
	case "/sharedfiles/filedetails", "/workshop/filedetails":
	default:
		return "", errNoLink
	}
	return steam.ParseID(u.Query().Get("id"))
}
