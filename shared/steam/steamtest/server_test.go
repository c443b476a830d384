package steamtest

import (
	"bytes"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"
)

type entry map[string]any

// ask calls a method of the Web API and returns the list in its answer.
func ask(t *testing.T, s *Server, method string, ids ...string) (list []entry, raw string) {
	t.Helper()
	form := url.Values{"itemcount": {fmt.Sprint(len(ids))}, "collectioncount": {fmt.Sprint(len(ids))}}
	for i, id := range ids {
		form.Set(fmt.Sprintf("publishedfileids[%d]", i), id)
	}
	resp, err := http.PostForm(s.URL+"/ISteamRemoteStorage/"+method+"/v1/", form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Response map[string]json.RawMessage
	}
	if json.Unmarshal(b, &answer) == nil {
		for _, name := range []string{"publishedfiledetails", "collectiondetails"} {
			if list == nil && answer.Response[name] != nil {
				if err := json.Unmarshal(answer.Response[name], &list); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return list, string(b)
}

// fetch gets a link, with a Range header unless span is empty.
func fetch(t *testing.T, link, span string) (*http.Response, []byte, error) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, link, nil)
	if err != nil {
		t.Fatal(err)
	}
	if span != "" {
		req.Header.Set("Range", span)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

func ids(list []entry) string {
	var s []string
	for _, e := range list {
		s = append(s, e["publishedfileid"].(string))
	}
	return strings.Join(s, ",")
}

func TestDetailsLeadToTheContent(t *testing.T) {
	s := Start(t, `
		# two items and a collection
		item 101 title="Dark \"Harbour\"" size=100KiB
		item 102 app=730 version=2
		collection 900 children=101
	`)
	list, raw := ask(t, s, "GetPublishedFileDetails", "101", "102", "900", "999")
	if ids(list) != "101,102,900,999" || !strings.Contains(raw, `"resultcount":4`) {
		t.Fatalf("answer %s", raw)
	}
	if list[0]["title"] != `Dark "Harbour"` || list[0]["file_size"] != "102400" || list[0]["consumer_app_id"] != 550.0 || list[1]["consumer_app_id"] != 730.0 {
		t.Errorf("details %v", list[:2])
	}
	if list[2]["file_url"] != "" || list[2]["file_size"] != "0" || list[2]["result"] != 1.0 {
		t.Errorf("a collection asked for as an item: %v", list[2])
	}
	if len(list[3]) != 2 || list[3]["result"] != 9.0 {
		t.Errorf("an item that does not exist: %v", list[3])
	}
	for _, e := range list[:2] {
		link := e["file_url"].(string)
		_, content, err := fetch(t, link, "")
		if err != nil || fmt.Sprintf("%X", sha1.Sum(content)) != path.Base(link) {
			t.Errorf("%s: %d bytes whose SHA-1 is another, %v", link, len(content), err)
		}
		_, picture, err := fetch(t, e["preview_url"].(string), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(bytes.NewReader(picture)); err != nil || fmt.Sprintf("%X", sha1.Sum(picture)) != path.Base(e["preview_url"].(string)) {
			t.Errorf("preview picture: %v", err)
		}
	}
}

func TestCollectionsCanBeNested(t *testing.T) {
	s := Start(t, "item 101\nitem 102\ncollection 900 children=102,901\ncollection 901 children=101")
	list, raw := ask(t, s, "GetCollectionDetails", "900")
	want := `"collectiondetails":[{"children":[{"filetype":0,"publishedfileid":"102","sortorder":0},{"filetype":2,"publishedfileid":"901","sortorder":1}],"publishedfileid":"900","result":1}]`
	if len(list) != 1 || !strings.Contains(raw, want) {
		t.Errorf("answer %s", raw)
	}
	if _, raw := ask(t, s, "GetCollectionDetails", "101"); raw != `{"response":{"collectiondetails":[{"publishedfileid":"101","result":9}],"result":1,"resultcount":0}}` {
		t.Errorf("an item asked for as a collection: %s", raw)
	}
}

func TestAPIFaults(t *testing.T) {
	s := Start(t, "item 1\nitem 2\nitem 3 result=15\nitem 4 trap\nitem 5 plain")
	file := func(id string) entry {
		list, _ := ask(t, s, "GetPublishedFileDetails", id)
		return list[0]
	}
	for _, c := range []struct{ fault, want string }{
		{"details reverse", "3,2,1"},
		{"details twice", "1,1,2,2,3,3"},
		{"details omit=1,3", "2"},
		{"collections omit=1", "1,2,3"},
		{"api/2 omit=2", "1,3"},
		{"api/4 omit=2", "1,2,3"},
		{"details status=503", ""},
		{"details html", ""},
	} {
		s.Reset()
		s.Tell(t, c.fault)
		if list, raw := ask(t, s, "GetPublishedFileDetails", "1", "2", "3"); ids(list) != c.want {
			t.Errorf("%s: %s", c.fault, raw)
		}
	}
	s.Reset()
	s.Tell(t, "api numbers=strings")
	if e := file("1"); e["file_size"] != "65536" || e["result"] != "1" {
		t.Errorf("numbers as strings: %v", e)
	}
	s.Tell(t, "api numbers=numbers")
	if e := file("1"); e["file_size"] != 65536.0 || e["result"] != 1.0 {
		t.Errorf("numbers as numbers: %v", e)
	}
	s.Reset()
	if e := file("3"); len(e) != 2 || e["result"] != 15.0 {
		t.Errorf("result 15: %v", e)
	}
	if e := file("4"); e["file_url"] != e["preview_url"] || e["filename"] != "preview.png" {
		t.Errorf("trap: %v", e)
	}
	if e := file("5"); !strings.HasSuffix(e["file_url"].(string), ".vpk/") {
		t.Errorf("plain link: %v", e)
	}
	s.Tell(t, "api refuse")
	if _, err := http.PostForm(s.URL+"/ISteamRemoteStorage/GetCollectionDetails/v1/", url.Values{"collectioncount": {"1"}, "publishedfileids[0]": {"1"}}); err == nil {
		t.Error("refuse: there was an answer")
	}
}

func TestFaultsEndAfterTheirTimesAndTheNewestCounts(t *testing.T) {
	s := Start(t, "item 101\ncontent status=500\ncontent status=503 retry-after=2 times=2")
	var got []int
	for range 3 {
		resp, _, err := fetch(t, s.FileURL("101"), "")
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == 503 && resp.Header.Get("Retry-After") != "2" {
			t.Error("no Retry-After")
		}
		got = append(got, resp.StatusCode)
	}
	if fmt.Sprint(got) != "[503 503 500]" {
		t.Errorf("statuses %v", got)
	}
}

func TestContentFaults(t *testing.T) {
	s := Start(t, "item 101 size=20000")
	_, whole, err := fetch(t, s.FileURL("101"), "")
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(whole)
	for i := 10000; i < len(other); i++ {
		other[i] = ^other[i]
	}
	for _, c := range []struct {
		fault, span string
		status      int
		contentSpan string
		body        []byte
		cut         bool
	}{
		{fault: "", span: "bytes=5-9", status: 206, contentSpan: "bytes 5-9/20000", body: whole[5:10]},
		{fault: "", span: "bytes=19990-", status: 206, contentSpan: "bytes 19990-19999/20000", body: whole[19990:]},
		{fault: "", span: "bytes=20000-", status: 416, contentSpan: "bytes */20000", body: []byte("invalid range: failed to overlap\n")},
		{fault: "content/101 lie-range", span: "bytes=5-9", status: 206, contentSpan: "bytes 6-9/20000", body: whole[5:10]},
		{fault: "content no-ranges", span: "bytes=5-9", status: 200, body: whole},
		{fault: "content corrupt", status: 200, body: other},
		{fault: "content corrupt", span: "bytes=12000-12009", status: 206, contentSpan: "bytes 12000-12009/20000", body: other[12000:12010]},
		{fault: "content grow=-5000", status: 200, body: whole[:15000]},
		{fault: "content grow=4", status: 200, body: append(bytes.Clone(whole), 0, 0, 0, 0)},
		{fault: "content html", status: 200, body: []byte(page)},
		{fault: "content status=404", status: 404, body: []byte(page)},
		{fault: "content cut=7000", status: 200, body: whole[:7000], cut: true},
		{fault: "content cut=10", span: "bytes=100-200", status: 206, contentSpan: "bytes 100-200/20000", body: whole[100:110], cut: true},
		{fault: "content picture", status: 200, body: s.item("101").picture()},
		{fault: "content/102 status=404", status: 200, body: whole},
		{fault: "content rate=40MiB", status: 200, body: whole},
		{fault: "content total-rate=40MiB delay=1ms", status: 200, body: whole},
	} {
		t.Run(c.fault+" "+c.span, func(t *testing.T) {
			s.Reset()
			if c.fault != "" {
				s.Tell(t, c.fault)
			}
			resp, body, err := fetch(t, s.FileURL("101"), c.span)
			if c.cut != errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("error %v", err)
			}
			if resp.StatusCode != c.status || resp.Header.Get("Content-Range") != c.contentSpan || !bytes.Equal(body, c.body) {
				t.Errorf("%d %q, %d bytes", resp.StatusCode, resp.Header.Get("Content-Range"), len(body))
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	s := Start(t, "item 101")
	for fault, want := range map[string]string{
		"self":               s.FileURL("101") + "?again",
		"loop":               s.FileURL("101"),
		"https://evil.test/": "https://evil.test/",
	} {
		s.Reset()
		s.Tell(t, "content redirect="+fault)
		resp, _, err := fetch(t, s.FileURL("101"), "")
		if err != nil {
			t.Fatal(err)
		}
		location, err := resp.Location()
		if err != nil || resp.StatusCode != 302 || location.String() != want {
			t.Errorf("%s: %d to %v, %v", fault, resp.StatusCode, location, err)
		}
	}
	s.Reset()
	s.Tell(t, "content redirect=self")
	if resp, _, err := fetch(t, s.FileURL("101")+"?again", ""); err != nil || resp.StatusCode != 200 {
		t.Errorf("behind the redirect: %v, %v", resp, err)
	}
}

// A stalled answer ends when the client disconnects, and does not keep the server from stopping.
func TestStalledAnswersDeliverWhatTheyHave(t *testing.T) {
	s := Start(t, "item 101\ncontent stall=1000")
	resp, err := http.Get(s.FileURL("101"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
		t.Error(err)
	}
	resp.Body.Close()
}

// A held answer waits at its byte, continues to that of a newer hold, and to its end after a reset.
func TestHeldAnswersContinueAfterARelease(t *testing.T) {
	s := Start(t, "item 101 size=100000\nitem 102\ncontent/101 hold=1000")
	resp, err := http.Get(s.FileURL("101"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read := func(n int) {
		t.Helper()
		if _, err := io.ReadFull(resp.Body, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	read(1001) // one more, since it never stops altogether
	s.mu.Lock()
	held := s.active["content"]
	s.mu.Unlock()
	if held != 1 {
		t.Error("the answer is not held")
	}
	if _, content, err := fetch(t, s.FileURL("102"), ""); err != nil || len(content) != 64<<10 {
		t.Errorf("an item that is not held: %d bytes, %v", len(content), err)
	}
	s.Tell(t, "content hold=70000")
	read(69000)
	s.Reset()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) != 29999 {
		t.Errorf("after the reset: %d bytes, %v", len(rest), err)
	}
}

func TestTheCatalogChanges(t *testing.T) {
	s := Start(t, "item 101")
	before, _ := s.Item("101")
	old := s.FileURL("101")
	s.Tell(t, "update 101 size=70000")
	after, _ := s.Item("101")
	if after.Updated != before.Updated+3600 || after.Size != 70000 || s.FileURL("101") == old {
		t.Errorf("update made %+v", after)
	}
	if resp, _, err := fetch(t, old, ""); err != nil || resp.StatusCode != 404 {
		t.Errorf("old content: %v, %v", resp, err)
	}
	if resp, body, err := fetch(t, s.FileURL("101"), ""); err != nil || resp.StatusCode != 200 || len(body) != 70000 {
		t.Errorf("new content: %v, %v", resp, err)
	}
	s.Tell(t, "remove 101")
	if list, _ := ask(t, s, "GetPublishedFileDetails", "101"); list[0]["result"] != 9.0 {
		t.Errorf("after its removal: %v", list)
	}
}

func TestTheRecordHasAllRequests(t *testing.T) {
	s := Start(t, "item 101\nitem 102")
	ask(t, s, "GetPublishedFileDetails", "101", "102")
	ask(t, s, "GetCollectionDetails", "101")
	fetch(t, s.FileURL("102"), "bytes=0-9")
	_, record, err := fetch(t, s.URL+"/requests", "")
	if err != nil || string(record) != "details 101,102\ncollections 101\ncontent 102 bytes=0-9\n" {
		t.Errorf("record %q, %v", record, err)
	}
	if s.Count("api") != 2 || s.Count("content") != 1 || s.Peak("api") != 1 {
		t.Errorf("%d api, %d content, peak %d", s.Count("api"), s.Count("content"), s.Peak("api"))
	}
	s.Forget()
	if len(s.Requests()) != 0 || s.Peak("api") != 0 {
		t.Error("not forgotten")
	}
}

// Tests rely on the peak to check a client's limit, so it must count waiting requests.
func TestThePeakCountsRequestsThatWait(t *testing.T) {
	s := Start(t, "item 101\ncontent stall=1")
	var open sync.WaitGroup
	for range 3 {
		open.Go(func() {
			resp, err := http.Get(s.FileURL("101"))
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { resp.Body.Close() })
		})
	}
	open.Wait()
	if s.Peak("content") != 3 {
		t.Errorf("peak %d", s.Peak("content"))
	}
}

func TestThePeakStays(t *testing.T) {
	s := New()
	_, leave1 := s.begin(Request{Kind: "details"})
	_, leave2 := s.begin(Request{Kind: "collections"})
	leave1()
	leave1()
	leave2()
	_, leave3 := s.begin(Request{Kind: "details"})
	leave3()
	if s.Peak("api") != 2 || s.Peak("details") != 1 || s.active["api"] != 0 {
		t.Errorf("peaks %v, active %v", s.peak, s.active)
	}
}

func TestControlWhileRunning(t *testing.T) {
	s := Start(t, "")
	resp, err := http.Post(s.URL+"/control", "text/plain", strings.NewReader("item 101\ncontent status=500"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got, _, err := fetch(t, s.FileURL("101"), ""); err != nil || got.StatusCode != 500 {
		t.Errorf("after control: %v, %v", got, err)
	}
	resp, err = http.Post(s.URL+"/control", "text/plain", strings.NewReader("content statsu=500"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || string(text) != "line 1: a fault has no \"statsu\"\n" {
		t.Errorf("a mistake: %d %s", resp.StatusCode, text)
	}
}

// A mistake in a catalog is an error, and is not read as something else.
func TestMistakesInCatalogsAreErrors(t *testing.T) {
	for commands, want := range map[string]string{
		"item":                         "line 1: item needs a steam id",
		"item size=3":                  "line 1: item needs a steam id",
		"\nitem 12a":                   `line 2: "12a" is not a steam id`,
		"item 1 size=10":               "line 1: item 1: a VPK of this title cannot have 10 bytes",
		"item 1 size=5GiB":             "line 1: item 1: a VPK of this title cannot have 5368709120 bytes",
		"item 1 size=big":              "line 1: size=big: not a size such as 1000 or 10MiB",
		"item 1 version=3":             "line 1: item 1: VPK version 3 is neither 1 nor 2",
		"item 1 colour=red":            `line 1: an item has no "colour"`,
		`item 1 title="open`:           "line 1: title: the closing quote is missing",
		"update 5":                     "line 1: there is no item 5",
		"collection 5 children=1,x":    `line 1: collection: "x" is not a steam id`,
		"collection 5 kids=1":          `line 1: a collection has no "kids"`,
		"itme 5":                       `line 1: a fault has no "5"`,
		"itme":                         `line 1: "itme" is neither a command nor a place for a fault`,
		"content status=5":             "line 1: status 5 is not an HTTP status",
		"content delay=soon":           `line 1: delay=soon: time: invalid duration "soon"`,
		"content hold=-5":              "line 1: only grow may be negative",
		"content cut=-5":               "line 1: only grow may be negative",
		"api numbers=roman":            "line 1: numbers are strings or numbers",
		"reset everything":             `line 1: "everything" is too much`,
		"remove 5 now":                 `line 1: "now" is too much`,
		"content/101 html=maybe":       `line 1: html=maybe: strconv.ParseBool: parsing "maybe": invalid syntax`,
		"details json=\"{}\" oops=yes": `line 1: a fault has no "oops"`,
	} {
		if err := New().Do(commands); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", commands, err, want)
		}
	}
}

func TestRequestsThatNoClientShouldMakeAreRefused(t *testing.T) {
	s := Start(t, "item 101")
	many := url.Values{"itemcount": {"101"}}
	for i := range 101 {
		many.Set(fmt.Sprintf("publishedfileids[%d]", i), "1")
	}
	for name, form := range map[string]url.Values{
		"no count":     {"publishedfileids[0]": {"101"}},
		"too many":     many,
		"an id less":   {"itemcount": {"2"}, "publishedfileids[0]": {"101"}},
		"not a number": {"itemcount": {"1"}, "publishedfileids[0]": {"x"}},
	} {
		resp, err := http.PostForm(s.URL+"/ISteamRemoteStorage/GetPublishedFileDetails/v1/", form)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 400 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
}
