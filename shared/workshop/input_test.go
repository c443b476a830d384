package workshop

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"left4me/shared/problem"
	"left4me/shared/steam"
)

func TestParseInputAcceptsLinksAndIDs(t *testing.T) {
	for text, want := range map[string][]steam.ID{
		"123":                  {"123"},
		" 1 2\t3\r\n4,5, ,6,,": {"1", "2", "3", "4", "5", "6"},
		"3 1 2 1 3":            {"3", "1", "2"},
		"007 7":                {"7"},
		"18446744073709551615": {"18446744073709551615"},
		"1\u00a02":             {"1", "2"},
		"https://steamcommunity.com/sharedfiles/filedetails/?id=5":                      {"5"},
		"https://steamcommunity.com/workshop/filedetails/?id=5":                         {"5"},
		"https://steamcommunity.com/sharedfiles/filedetails/?id=5&searchtext=dead+air":  {"5"},
		"https://steamcommunity.com/sharedfiles/filedetails/?searchtext=&id=5#comments": {"5"},
		"http://www.steamcommunity.com/sharedfiles/filedetails?id=5":                    {"5"},
		"https://SteamCommunity.com/sharedfiles/filedetails/?id=5,6":                    {"5", "6"},
		"steamcommunity.com/sharedfiles/filedetails/?id=5":                              {"5"},
		"www.SteamCommunity.com/workshop/filedetails/?id=5&l=german":                    {"5"},
		"steam://url/CommunityFilePage/5":                                               {"5"},
		"1;2; https://steamcommunity.com/sharedfiles/filedetails/?id=5;6":               {"1", "2", "5", "6"},
	} {
		if got, err := ParseInput(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("ParseInput(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestParseInputNamesTheFirstInvalidPart(t *testing.T) {
	for text, piece := range map[string]string{
		"1 two 3 four":          "two",
		"-1":                    "-1",
		"1.5":                   "1.5",
		"0":                     "0",
		"18446744073709551616":  "18446744073709551616",
		"１２":                    "１２",
		"javascript:alert(1)":   "javascript:alert(1)",
		"https://example.com/5": "https://example.com/5",
		"https://steamcommunity.com/sharedfiles/filedetails/":                      "https://steamcommunity.com/sharedfiles/filedetails/",
		"https://steamcommunity.com/sharedfiles/filedetails/?id=x":                 "?id=x",
		"https://steamcommunity.com.evil.example/sharedfiles/filedetails/?id=5":    "evil",
		"https://steamcommunity.com@evil.example/sharedfiles/filedetails/?id=5":    "evil",
		"https://evil.example/?u=steamcommunity.com/sharedfiles/filedetails/?id=5": "evil",
		"https://steamcommunity.com/profiles/1/?id=5":                              "profiles",
		"ftp://steamcommunity.com/sharedfiles/filedetails/?id=5":                   "ftp:",
		"evil.example/sharedfiles/filedetails/?id=5":                               "evil",
		"steamcommunity.com@evil.example/sharedfiles/filedetails/?id=5":            "evil",
		"steamcommunity.com.evil.example/sharedfiles/filedetails/?id=5":            "evil",
		"steamcommunity.com/?id=5":                                                 "steamcommunity.com/?id=5",
		"steam://run/550":                                                          "steam://run/550",
		"steam://url/CommunityFilePage/x":                                          "CommunityFilePage/x",
		"steam://evil.example/CommunityFilePage/5":                                 "evil",
		"https://url/CommunityFilePage/5":                                          "https://url",
		"\xff\xfe":                                                                 "�",
		strings.Repeat("x", 500):                                                   strings.Repeat("x", 60) + "…",
	} {
		ids, err := ParseInput(text)
		p, ok := problem.As(err)
		if !ok || p.Status != http.StatusBadRequest || !strings.Contains(p.Sentence, piece) || ids != nil {
			t.Errorf("ParseInput(%q) = %v, %v, want a 400 that names %q", text, ids, err, piece)
		}
	}
}

func TestParseInputHasLimits(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strconv.Itoa(i+1) + "\n")
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"1,000 ids":            {many(1000), true},
		"1,001 ids":            {many(1001), false},
		"1,001 of one id":      {strings.Repeat("7 ", 1001), true},
		"64 KiB":               {"7" + strings.Repeat(" ", MaxInput-1), true},
		"a byte over 64 KiB":   {"7" + strings.Repeat(" ", MaxInput), false},
		"nothing":              {"", false},
		"nothing but commas":   {" , ;\n", false},
		"a very long non-link": {strings.Repeat("a", MaxInput), false},
	} {
		if _, err := ParseInput(c.text); (err == nil) != c.ok {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

func TestState(t *testing.T) {
	downloaded := Item{FileURL: "u", FileSize: 5, Updated: 7, DownloadedSize: 5, DownloadedUpdated: 7, Linked: true}
	downloaded.DownloadedAt = downloaded.DownloadedAt.AddDate(2026, 0, 0)
	with := func(change func(*Item)) Item {
		i := downloaded
		change(&i)
		return i
	}
	for want, i := range map[string]Item{
		"ready":                                 downloaded,
		"waiting for download":                  {FileURL: "u", FileSize: 5, Updated: 7},
		"update waiting":                        with(func(i *Item) { i.Updated = 8 }),
		"downloaded, not linked yet":            with(func(i *Item) { i.Linked = false }),
		"not on Steam any more, last copy kept": with(func(i *Item) { i.FileURL, i.LastError = "", "steam result 9" }),
		"not on Steam any more":                 with(func(i *Item) { i.FileURL, i.LastError, i.Linked = "", "steam result 9", false }),
		"download failed: stall":                with(func(i *Item) { i.LastError = "download failed: stall" }),
		"steam offers no direct download for this item": with(func(i *Item) {
			i.FileURL, i.LastError, i.Linked = "", "steam offers no direct download for this item", false
		}),
		"steam offers no direct download for this item, last copy kept": with(func(i *Item) {
			i.FileURL, i.LastError = "", "steam offers no direct download for this item"
		}),
	} {
		if got := i.State(); got != want {
			t.Errorf("State = %q, want %q", got, want)
		}
	}
	left := with(func(i *Item) { i.FileURL, i.LastError, i.Linked = "", "steam returned no entry for this item", false })
	if got := left.State(); got != "not on Steam any more" {
		t.Errorf("State of an item that Steam left out = %q", got)
	}
	size := with(func(i *Item) { i.FileSize = 6 })
	if got := size.State(); got != "update waiting" {
		t.Errorf("State of an item with another size = %q", got)
	}
}
