package steam

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestLastErrorSaysWhyAnItemCannotBeDownloaded(t *testing.T) {
	const (
		file    = "https://cdn.steamusercontent.com/ugc/1/8D368037AA0644B4301DC14E394C13C655E46FD0/"
		picture = "https://images.steamusercontent.com/ugc/2/1D368037AA0644B4301DC14E394C13C655E46FD0/"
		none    = "steam offers no direct download for this item"
	)
	real := Item{SteamID: "1", Result: 1, ConsumerAppID: 550, Filename: "myl4d2addons/a.vpk", FileURL: file, PreviewURL: picture, FileSize: 5}
	for name, c := range map[string]struct {
		change func(*Item)
		want   string
	}{
		"a real item":               {func(*Item) {}, ""},
		"no preview":                {func(i *Item) { i.PreviewURL = "" }, ""},
		"capital letters":           {func(i *Item) { i.Filename = "A.VPK" }, ""},
		"deleted":                   {func(i *Item) { *i = Item{SteamID: "1", Result: 9} }, "steam result 9"},
		"denied":                    {func(i *Item) { i.Result = 15 }, "steam result 15"},
		"no result":                 {func(i *Item) { i.Result = 0 }, "steam result 0"},
		"left out":                  {func(i *Item) { *i = Item{SteamID: "1", Missing: true} }, "steam returned no entry for this item"},
		"no link":                   {func(i *Item) { i.FileURL = "" }, none},
		"no size":                   {func(i *Item) { i.FileSize = 0 }, none},
		"a picture's name":          {func(i *Item) { i.Filename = "a.vpk.png" }, none},
		"no name":                   {func(i *Item) { i.Filename = "" }, none},
		"the picture's link":        {func(i *Item) { i.FileURL = picture }, none},
		"the picture elsewhere":     {func(i *Item) { i.FileURL = strings.Replace(picture, "images", "cloud-3", 1) }, none},
		"the picture without slash": {func(i *Item) { i.FileURL = strings.TrimSuffix(picture, "/") }, none},
		"the picture with a query":  {func(i *Item) { i.PreviewURL = file + "?imw=200" }, none},
	} {
		item := real
		c.change(&item)
		if got := item.LastError(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		wantURL := item.FileURL
		if c.want != "" {
			wantURL = ""
		}
		if got := item.DownloadURL(); got != wantURL {
			t.Errorf("%s: downloads %q", name, got)
		}
	}
}

// A hostile or odd entry does not affect the others, and its texts and numbers are limited.
func TestOddEntries(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		want Item
		not  bool
	}{
		"numbers": {raw: `{"publishedfileid":"12","result":1,"consumer_app_id":550,"file_size":10,"time_updated":20}`,
			want: Item{SteamID: "12", Result: 1, ConsumerAppID: 550, FileSize: 10, TimeUpdated: 20}},
		"strings": {raw: `{"publishedfileid":12,"result":"1","consumer_app_id":"550","file_size":"10","time_updated":"20"}`,
			want: Item{SteamID: "12", Result: 1, ConsumerAppID: 550, FileSize: 10, TimeUpdated: 20}},
		"floats": {raw: `{"publishedfileid":"12","result":1.0,"file_size":"1e3","time_updated":2.5}`,
			want: Item{SteamID: "12", Result: 1, FileSize: 1000}},
		"negative": {raw: `{"publishedfileid":"12","result":1,"file_size":-1,"time_updated":"-5"}`,
			want: Item{SteamID: "12", Result: 1}},
		"too big": {raw: `{"publishedfileid":"12","result":1,"file_size":"99999999999999999999","time_updated":1e300}`,
			want: Item{SteamID: "12", Result: 1}},
		"nulls": {raw: `{"publishedfileid":"12","result":null,"file_size":null,"title":null,"file_url":null}`,
			want: Item{SteamID: "12"}},
		"other types": {raw: `{"publishedfileid":"12","result":true,"file_size":[1],"title":{"a":1},"file_url":["https://x"],"filename":7}`,
			want: Item{SteamID: "12", Filename: "7"}},
		"no number": {raw: `{"publishedfileid":"12","result":"fine","file_size":"","time_updated":"NaN"}`,
			want: Item{SteamID: "12"}},
		"hostile text": {raw: `{"publishedfileid":"12","title":" \u001b[31mA\u0000\r\n\u202eB\u2028\ufffd` + "\xff\xc0" + `C\ud800 ","filename":"../..\u0007/x.vpk"}`,
			want: Item{SteamID: "12", Title: "[31mABC", Filename: "../../x.vpk"}},
		"long text": {raw: `{"publishedfileid":"12","title":"` + strings.Repeat("ä", 500) + `"}`,
			want: Item{SteamID: "12", Title: strings.Repeat("ä", 200)}},
		"emoji stay": {raw: `{"publishedfileid":"12","title":"👩‍🚒 ok"}`, want: Item{SteamID: "12", Title: "👩‍🚒 ok"}},
		"script link": {raw: `{"publishedfileid":"12","preview_url":"javascript:alert(1)","file_url":"file:///etc/passwd"}`,
			want: Item{SteamID: "12"}},
		"broken links": {raw: `{"publishedfileid":"12","preview_url":"https://x/ y","file_url":"https://x/\n"}`,
			want: Item{SteamID: "12"}},
		"relative link": {raw: `{"publishedfileid":"12","preview_url":"//x/y","file_url":"/ugc/1"}`, want: Item{SteamID: "12"}},
		"endless link":  {raw: `{"publishedfileid":"12","file_url":"https://x/` + strings.Repeat("y", 2048) + `"}`, want: Item{SteamID: "12"}},
		"id with path":  {raw: `{"publishedfileid":"../12","result":1}`, not: true},
		"id as float":   {raw: `{"publishedfileid":1.2e3,"result":1}`, not: true},
		"negative id":   {raw: `{"publishedfileid":-12,"result":1}`, not: true},
		"other digits":  {raw: `{"publishedfileid":"١٢","result":1}`, not: true},
		"endless id":    {raw: `{"publishedfileid":"` + strings.Repeat("1", 21) + `"}`, not: true},
		"no id":         {raw: `{"result":1}`, not: true},
		"a string":      {raw: `"12"`, not: true},
		"a list":        {raw: `[12]`, not: true},
		"null":          {raw: `null`, not: true},
	} {
		got, ok := parseItem(json.RawMessage(c.raw))
		if ok == c.not || got != c.want {
			t.Errorf("%s: %t, %+v", name, ok, got)
		}
	}
}

func TestChildrenAreInTheCollectionsOrder(t *testing.T) {
	got, ok := parseCollection(json.RawMessage(`{"publishedfileid":"5","result":1,"children":[
		{"publishedfileid":"12","sortorder":"10","filetype":"2"},
		{"publishedfileid":"11","sortorder":2,"filetype":0},
		{"publishedfileid":"x","sortorder":3},
		{"publishedfileid":10,"sortorder":1,"filetype":5}]}`))
	want := []Child{{"10", 5}, {"11", ChildItem}, {"12", ChildCollection}}
	if !ok || len(got.Children) != len(want) {
		t.Fatalf("%t, %+v", ok, got)
	}
	for i := range want {
		if got.Children[i] != want[i] {
			t.Errorf("child %d: %+v", i, got.Children[i])
		}
	}
}

func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"response":{"publishedfiledetails":[{"publishedfileid":"1","result":1,"file_size":"5","title":"a\u0000"},null,[],"",{"publishedfileid":2}]}}`,
		`{"response":{"collectiondetails":[{"publishedfileid":"1","children":[{"publishedfileid":"1"},{}]}]}}`,
		`{"response":{"result":"8"}}`, `<html>`, ``, `{`, `null`, `[]`, `{"response":null}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		entries, err := readAnswer("application/json", []byte(answer))
		if err == nil && entries == nil {
			t.Fatal("neither entries nor an error")
		}
		for _, raw := range entries {
			if item, ok := parseItem(raw); ok {
				text := item.Title + item.Filename
				if !isID(item.SteamID) || item.FileSize < 0 || item.TimeUpdated < 0 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
					t.Fatalf("%+v", item)
				}
				if item.LastError() == "" && item.DownloadURL() == "" {
					t.Fatalf("nothing to download and no reason: %+v", item)
				}
			}
			if collection, ok := parseCollection(raw); ok {
				for _, child := range collection.Children {
					if !isID(child.SteamID) {
						t.Fatalf("%+v", collection)
					}
				}
			}
		}
	})
}

func isID(id ID) bool {
	parsed, err := ParseID(string(id))
	return err == nil && parsed == id
}
