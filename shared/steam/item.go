package steam

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// AppID is Steam's number for Left 4 Dead 2.
const AppID = 550

const (
	maxTitle    = 200
	maxFilename = 260
	maxLink     = 2048
)

// Item is Steam's answer about a workshop item, or about a collection that was requested as an item. Texts are not trusted:
// control characters were removed and the length is limited, but they must be escaped where they are shown.
type Item struct {
	SteamID ID
	// Missing is set when Steam left the item out of its answer; all other fields but SteamID are zero then.
	Missing bool
	// Result is Steam's result code: 1 is success, 9 deleted, private or friends-only, 15 denied.
	Result int
	// ConsumerAppID is the game that the item is for; zero when Result is not 1.
	ConsumerAppID int
	Title         string
	// Filename is what the author called the file, with folders. Never use it as a path.
	Filename string
	// FileURL and PreviewURL are https or http links, or empty. FileURL may lead to something else; see DownloadURL.
	FileURL, PreviewURL string
	// FileSize is in bytes, never negative.
	FileSize int64
	// TimeUpdated is in Unix seconds, never negative.
	TimeUpdated int64
}

// LastError is the value of workshop_items.last_error: why the item cannot be downloaded, or empty when it can be.
func (i Item) LastError() string {
	switch {
	case i.Missing:
		return "steam returned no entry for this item"
	case i.Result != 1:
		return fmt.Sprintf("steam result %d", i.Result)
	case !i.offersFile():
		return "steam offers no direct download for this item"
	}
	return ""
}

// DownloadURL is the value of workshop_items.file_url: the link to the item's file, or empty when LastError is not.
func (i Item) DownloadURL() string {
	if i.LastError() != "" {
		return ""
	}
	return i.FileURL
}

// offersFile reports whether FileURL leads to the item's file. When the content has moved to newer storage, Steam gives the link
// of the preview picture instead (steam.md, Trap). The file's signature is checked after the download.
func (i Item) offersFile() bool {
	return i.FileURL != "" && i.FileSize > 0 &&
		strings.HasSuffix(strings.ToLower(i.Filename), ".vpk") &&
		!sameContent(i.FileURL, i.PreviewURL)
}

// sameContent compares the paths only: all of Steam's content hosts serve the same paths, and links to pictures have a query.
func sameContent(a, b string) bool {
	ua, erra := url.Parse(a)
	ub, errb := url.Parse(b)
	return erra == nil && errb == nil && b != "" &&
		strings.EqualFold(strings.Trim(ua.Path, "/"), strings.Trim(ub.Path, "/"))
}

// Collection is Steam's answer about a collection, or about an item that was requested as a collection.
type Collection struct {
	SteamID ID
	// Missing is set when Steam left the collection out of its answer.
	Missing bool
	// Result is 1 for a collection; 9 for one that is deleted or private, and for an ordinary item.
	Result int
	// Children are in the collection's own order.
	Children []Child
}

// File types of a collection's children. Other types are guides, screenshots and so on.
const (
	ChildItem       = 0
	ChildCollection = 2
)

// Child is one entry of a collection.
type Child struct {
	SteamID ID
	// FileType is ChildItem, ChildCollection or another type.
	FileType int
}

// text is a string that may be sent as a number. Any other value is read as empty, so that the other fields are still used.
type text string

func (t *text) UnmarshalJSON(raw []byte) error {
	*t = ""
	if raw[0] == '"' {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		*t = text(s)
	} else if raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' {
		*t = text(raw)
	}
	return nil
}

// number is an integer that may be sent as a string. Any other value, or one out of range, is read as zero.
type number int64

func (n *number) UnmarshalJSON(raw []byte) error {
	*n = 0
	s := string(bytes.Trim(raw, `" `))
	if whole, err := strconv.ParseInt(s, 10, 64); err == nil {
		*n = number(whole)
	} else if f, err := strconv.ParseFloat(s, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		*n = number(f)
	}
	return nil
}

type itemAnswer struct {
	ID            text   `json:"publishedfileid"`
	Result        number `json:"result"`
	ConsumerAppID number `json:"consumer_app_id"`
	Title         text   `json:"title"`
	Filename      text   `json:"filename"`
	FileURL       text   `json:"file_url"`
	PreviewURL    text   `json:"preview_url"`
	FileSize      number `json:"file_size"`
	TimeUpdated   number `json:"time_updated"`
}

// parseItem reads an entry of publishedfiledetails. It returns false for an entry without a valid id.
func parseItem(raw json.RawMessage) (Item, bool) {
	var a itemAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return Item{}, false
	}
	id, err := ParseID(string(a.ID))
	if err != nil {
		return Item{}, false
	}
	return Item{
		SteamID:       id,
		Result:        int(a.Result),
		ConsumerAppID: int(a.ConsumerAppID),
		Title:         printable(string(a.Title), maxTitle),
		Filename:      printable(string(a.Filename), maxFilename),
		FileURL:       link(string(a.FileURL)),
		PreviewURL:    link(string(a.PreviewURL)),
		FileSize:      max(0, int64(a.FileSize)),
		TimeUpdated:   max(0, int64(a.TimeUpdated)),
	}, true
}

type collectionAnswer struct {
	ID       text          `json:"publishedfileid"`
	Result   number        `json:"result"`
	Children []childAnswer `json:"children"`
}

type childAnswer struct {
	ID        text   `json:"publishedfileid"`
	SortOrder number `json:"sortorder"`
	FileType  number `json:"filetype"`
}

// parseCollection reads an entry of collectiondetails. It returns false for an entry without a valid id. Children without a
// valid id are dropped.
func parseCollection(raw json.RawMessage) (Collection, bool) {
	var a collectionAnswer
	if err := json.Unmarshal(raw, &a); err != nil {
		return Collection{}, false
	}
	id, err := ParseID(string(a.ID))
	if err != nil {
		return Collection{}, false
	}
	slices.SortStableFunc(a.Children, func(x, y childAnswer) int { return cmp.Compare(x.SortOrder, y.SortOrder) })
	c := Collection{SteamID: id, Result: int(a.Result)}
	for _, child := range a.Children {
		if id, err := ParseID(string(child.ID)); err == nil {
			c.Children = append(c.Children, Child{SteamID: id, FileType: int(child.FileType)})
		}
	}
	return c, true
}

// link returns s if it is a web link of limited length, and otherwise "". Content decides which hosts are allowed.
func link(s string) string {
	if len(s) > maxLink || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return ""
	}
	if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return s
}
