package steam_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"left4me/shared/db/dbtest"
	"left4me/shared/steam"
	"left4me/shared/steam/steamtest"
)

// inMemory passes requests to a handler without sockets, so that synctest can skip pauses.
type inMemory struct{ handler http.Handler }

func (m inMemory) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	type answer struct {
		resp *http.Response
		err  error
	}
	answered := make(chan answer, 1)
	req = req.Clone(req.Context())
	req.Host = req.URL.Host
	go func() {
		defer func() {
			if p := recover(); p == http.ErrAbortHandler {
				answered <- answer{err: io.ErrUnexpectedEOF}
			} else if p != nil {
				panic(p)
			}
		}()
		w := httptest.NewRecorder()
		m.handler.ServeHTTP(w, req)
		answered <- answer{resp: w.Result()}
	}()
	select {
	case a := <-answered:
		return a.resp, a.err
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

var noLog = slog.New(slog.DiscardHandler)

// client returns a fake of Steam with a fixture, and a client of it without sockets.
func client(t *testing.T, fixture string) (*steamtest.Server, *steam.Client) {
	return logging(t, fixture, noLog)
}

func logging(t *testing.T, fixture string, log *slog.Logger) (*steamtest.Server, *steam.Client) {
	fake := steamtest.New()
	fake.Tell(t, fixture)
	return fake, of(fake, log)
}

func of(fake http.Handler, log *slog.Logger) *steam.Client {
	c := steam.NewClient("http://steam.test", log)
	c.SetTransport(inMemory{fake})
	return c
}

func numbered(from, to int) (ids []steam.ID) {
	for i := from; i <= to; i++ {
		ids = append(ids, steam.ID(strconv.Itoa(i)))
	}
	return ids
}

const threeItems = `
	item 1 title="One" size=10000 updated=1740000001
	item 2 title="Two" size=20000 updated=1740000002 app=730
	item 3 result=15
`

func describe(items []steam.Item) string {
	var s []string
	for _, i := range items {
		s = append(s, fmt.Sprintf("%s %t %d %d %q %d %d", i.SteamID, i.Missing, i.Result, i.ConsumerAppID, i.Title, i.FileSize, i.TimeUpdated))
	}
	return strings.Join(s, "\n")
}

func TestEveryFieldOfAnItemIsRead(t *testing.T) {
	_, client := logging(t, "item 1\n", slog.New(slog.DiscardHandler))
	items, err := client.Details(t.Context(), []steam.ID{"1"})
	if err != nil {
		t.Fatal(err)
	}
	dbtest.Filled(t, items[0], "Missing")
}

func TestDetailsAreInTheOrderOfTheIDs(t *testing.T) {
	const (
		one   = `1 false 1 550 "One" 10000 1740000001`
		two   = `2 false 1 730 "Two" 20000 1740000002`
		three = `3 false 15 0 "" 0 0`
		four  = `4 false 9 0 "" 0 0`
		all   = four + "\n" + two + "\n" + three + "\n" + one
	)
	for fault, want := range map[string]string{
		"":                    all,
		"details reverse":     all,
		"api twice":           all,
		"api numbers=strings": all,
		"api numbers=numbers": all,
		"details omit=2,3":    four + "\n" + `2 true 0 0 "" 0 0` + "\n" + `3 true 0 0 "" 0 0` + "\n" + one,
		`details json="{\"response\":{\"result\":1,\"resultcount\":0,\"publishedfiledetails\":[]}}"`: `4 true 0 0 "" 0 0` + "\n" +
			`2 true 0 0 "" 0 0` + "\n" + `3 true 0 0 "" 0 0` + "\n" + `1 true 0 0 "" 0 0`,
	} {
		t.Run(fault, func(t *testing.T) {
			_, c := client(t, threeItems+fault)
			items, err := c.Details(t.Context(), []steam.ID{"4", "2", "4", "3", "1", "2"})
			if err != nil || describe(items) != want {
				t.Errorf("%v\n%s", err, describe(items))
			}
		})
	}
}

func TestTheFirstOfSeveralEntriesCounts(t *testing.T) {
	_, c := client(t, `api json="{\"response\":{\"publishedfiledetails\":[{\"publishedfileid\":\"1\",\"result\":1},{\"publishedfileid\":\"1\",\"result\":9}]}}"`)
	if items, err := c.Details(t.Context(), []steam.ID{"1"}); err != nil || items[0].Result != 1 {
		t.Errorf("%+v, %v", items, err)
	}
	_, c = client(t, `api json="{\"response\":{\"collectiondetails\":[{\"publishedfileid\":\"1\",\"result\":1},{\"publishedfileid\":\"1\",\"result\":9}]}}"`)
	if collections, err := c.Collections(t.Context(), []steam.ID{"1"}); err != nil || collections[0].Result != 1 {
		t.Errorf("%+v, %v", collections, err)
	}
}

func TestLinksOfRealItemsAreKept(t *testing.T) {
	_, c := client(t, "item 1\nitem 2 trap")
	items, err := c.Details(t.Context(), []steam.ID{"1", "2"})
	if err != nil {
		t.Fatal(err)
	}
	if got := items[0].DownloadURL(); !strings.HasPrefix(got, "http://steam.test/ugc/1/") || items[0].LastError() != "" {
		t.Errorf("real item: %q, %q", got, items[0].LastError())
	}
	if items[0].Filename != "myl4d2addons/item1.vpk" || !strings.HasPrefix(items[0].PreviewURL, "http://steam.test/ugc/10/") {
		t.Errorf("real item: %+v", items[0])
	}
	if items[1].DownloadURL() != "" || items[1].LastError() != "steam offers no direct download for this item" {
		t.Errorf("trap: %q, %q", items[1].DownloadURL(), items[1].LastError())
	}
}

func TestCollections(t *testing.T) {
	catalog := "item 1\nitem 2\ncollection 90 children=2,91,1\ncollection 91 children=1\n"
	for _, fault := range []string{"", "collections reverse", "collections twice", "collections numbers=strings"} {
		_, c := client(t, catalog+fault)
		got, err := c.Collections(t.Context(), []steam.ID{"1", "90", "8"})
		want := "[{1 false 9 []} {90 false 1 [{2 0} {91 2} {1 0}]} {8 false 9 []}]"
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v", fault, got, err)
		}
	}
	_, c := client(t, catalog+"collections omit=90")
	if got, err := c.Collections(t.Context(), []steam.ID{"90"}); err != nil || fmt.Sprint(got) != "[{90 true 0 []}]" {
		t.Errorf("left out: %v, %v", got, err)
	}
	_, c = client(t, catalog)
	if got, err := c.Collections(t.Context(), []steam.ID{"1", "2"}); err != nil || got[0].Result != 9 {
		t.Errorf("no collection among them: %v, %v", got, err)
	}
}

func TestFailuresAreRetriedAndLogged(t *testing.T) {
	const never = time.Duration(0)
	for _, c := range []struct {
		fault    string
		deadline time.Duration
		// want is the error's text; empty if the last try succeeds.
		want     string
		requests int
		// atLeast and atMost bound the time of the pauses.
		atLeast, atMost time.Duration
	}{
		{"api status=503 times=2", never, "", 3, 1200 * time.Millisecond, 1800 * time.Millisecond},
		{"api status=429 times=1", never, "", 2, 400 * time.Millisecond, 600 * time.Millisecond},
		{"api status=429 retry-after=7 times=1", never, "", 2, 7 * time.Second, 7 * time.Second},
		{"api status=503 retry-after=60 times=1", never, "", 2, time.Minute, time.Minute},
		{"api status=503 retry-after=61", never, "steam answered 503", 1, 0, 0},
		{"api status=503 retry-after=7", 5 * time.Second, "steam answered 503", 1, 0, 0},
		{"api status=503 retry-after=soon times=1", never, "", 2, 400 * time.Millisecond, 600 * time.Millisecond},
		{"api status=503", never, "steam answered 503", 5, 6 * time.Second, 9 * time.Second},
		{"api status=503", time.Second, "steam answered 503", 2, 400 * time.Millisecond, 600 * time.Millisecond},
		{"api status=500 html times=1", never, "", 2, 400 * time.Millisecond, 600 * time.Millisecond},
		{"api status=400", never, "steam answered 400", 1, 0, 0},
		{"api status=403 html", never, "steam answered 403", 1, 0, 0},
		{"api status=302", never, "steam answered 302", 1, 0, 0},
		{"api html", never, "steam answered HTML instead of JSON", 5, 6 * time.Second, 9 * time.Second},
		{"api html times=1", never, "", 2, 400 * time.Millisecond, 600 * time.Millisecond},
		{"api json=\" <p>down\"", never, "steam answered HTML instead of JSON", 5, 6 * time.Second, 9 * time.Second},
		{"api refuse times=4", never, "", 5, 6 * time.Second, 9 * time.Second},
		{"api refuse", never, "cannot reach steam: unexpected EOF", 5, 6 * time.Second, 9 * time.Second},
		{"api json={}", never, "steam answered without a list of items", 5, 6 * time.Second, 9 * time.Second},
		{`api json="{\"response\":{\"result\":8}}"`, never, "steam answered result 8", 5, 6 * time.Second, 9 * time.Second},
		{`api json="{\"response\":[]}"`, never, "steam answered something that is not the JSON it promises", 5, 6 * time.Second, 9 * time.Second},
		{`api json="{\"resp" times=1`, never, "", 2, 400 * time.Millisecond, 600 * time.Millisecond},
		{"api delay=9s", never, "", 1, 9 * time.Second, 9 * time.Second},
		{"api delay=11s times=1", never, "", 2, 10 * time.Second, 11 * time.Second},
		{"api delay=11s", never, "cannot reach steam: no answer within 10s", 5, 56 * time.Second, 59 * time.Second},
		{"api delay=11s", 25 * time.Second, "cannot reach steam: no answer in time: context deadline exceeded", 3, 25 * time.Second, 25 * time.Second},
	} {
		t.Run(fmt.Sprint(c.fault, " ", c.deadline), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				fake, client := logging(t, threeItems+c.fault, slog.New(slog.NewJSONHandler(&log, nil)))
				ctx := t.Context()
				if c.deadline != never {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				start := time.Now()
				items, err := client.Details(ctx, []steam.ID{"1"})
				took := time.Since(start)
				switch {
				case c.want == "" && (err != nil || len(items) != 1 || items[0].Title != "One"):
					t.Errorf("%v, %v", items, err)
				case c.want != "" && (err == nil || err.Error() != c.want):
					t.Errorf("error %v, want %s", err, c.want)
				}
				if fake.Count("details") != c.requests {
					t.Errorf("%d requests, want %d", fake.Count("details"), c.requests)
				}
				wantFailed := c.requests
				if c.want == "" {
					wantFailed--
				}
				if n := strings.Count(log.String(), `"msg":"steam failed","source":"api"`); n != wantFailed {
					t.Errorf("logged %d failed requests, want %d", n, wantFailed)
				}
				if took < c.atLeast || took > c.atMost {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestErrorsHaveTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := func(fault string) error {
			_, c := client(t, fault)
			_, err := c.Collections(t.Context(), []steam.ID{"1"})
			return err
		}
		if e, ok := errors.AsType[*steam.StatusError](fail("api status=429 retry-after=90")); !ok || e.Code != 429 || e.RetryAfter != 90*time.Second {
			t.Errorf("status: %+v", e)
		}
		if _, ok := errors.AsType[*steam.HTMLError](fail("api html")); !ok {
			t.Error("html")
		}
		if _, ok := errors.AsType[*steam.AnswerError](fail("api json=[]")); !ok {
			t.Error("answer")
		}
		if _, ok := errors.AsType[*steam.UnreachableError](fail("api refuse")); !ok {
			t.Error("unreachable")
		}
	})
}

// M8: ten thousand items in batches, at most four requests at once.
func TestBatchesAreRequestedInParallelAndDeliveredOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, c := client(t, "api delay=100ms")
		ids := numbered(1000, 1949)
		var inside atomic.Int32
		got, calls := map[steam.ID]bool{}, 0
		start := time.Now()
		err := c.EachDetails(t.Context(), append(ids, ids[:50]...), func(items []steam.Item) error {
			if inside.Add(1) != 1 {
				t.Error("two batches at once")
			}
			time.Sleep(time.Millisecond)
			inside.Add(-1)
			calls++
			for i, item := range items {
				if got[item.SteamID] || i > 0 && item.SteamID <= items[i-1].SteamID {
					t.Errorf("%s came twice or out of order", item.SteamID)
				}
				got[item.SteamID] = true
			}
			return nil
		})
		if err != nil || calls != 10 || len(got) != 950 {
			t.Errorf("%v, %d batches, %d items", err, calls, len(got))
		}
		// Ten batches of 100 ms, four at a time, and the handling of the last two.
		if took := time.Since(start); took > 304*time.Millisecond {
			t.Errorf("took %s", took)
		}
		if fake.Peak("api") != 4 {
			t.Errorf("%d requests at once", fake.Peak("api"))
		}
		for _, r := range fake.Requests() {
			if len(r.IDs) > 100 {
				t.Errorf("%d ids in one request", len(r.IDs))
			}
		}
	})
}

// The limit applies to all calls of one Client together.
func TestCallsShareTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, c := client(t, "api delay=100ms")
		for range 3 {
			go func() {
				if _, err := c.Details(t.Context(), numbered(1, 300)); err != nil {
					t.Error(err)
				}
				if _, err := c.Collections(t.Context(), numbered(1, 300)); err != nil {
					t.Error(err)
				}
			}()
		}
		time.Sleep(time.Minute)
		if fake.Count("api") != 18 || fake.Peak("api") != 4 {
			t.Errorf("%d requests, %d at once", fake.Count("api"), fake.Peak("api"))
		}
	})
}

func TestTheFirstErrorStopsTheOtherBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, c := client(t, "api delay=100ms")
		full := errors.New("disk full")
		calls := 0
		err := c.EachDetails(t.Context(), numbered(1, 2000), func([]steam.Item) error {
			calls++
			return full
		})
		if err != full || calls != 1 || fake.Count("api") > 8 {
			t.Errorf("%v after %d batches and %d requests", err, calls, fake.Count("api"))
		}

		fake.Tell(t, "details/150 status=403")
		err = c.EachDetails(t.Context(), numbered(1, 2000), func([]steam.Item) error { return nil })
		if err == nil || err.Error() != "steam answered 403" {
			t.Error(err)
		}
	})
}

func TestCancelling(t *testing.T) {
	for _, fault := range []string{"api delay=5s", "api status=503 retry-after=30", "api refuse"} {
		t.Run(fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, c := client(t, fault)
				ctx, cancel := context.WithCancelCause(t.Context())
				start := time.Now()
				time.AfterFunc(time.Second, func() { cancel(errors.New("somebody pressed a button")) })
				err := c.EachDetails(ctx, numbered(1, 500), func([]steam.Item) error {
					t.Error("a batch came")
					return nil
				})
				if !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
					t.Errorf("%v after %s", err, time.Since(start))
				}
			})
		})
	}
}

func TestNoRequestWithoutIDs(t *testing.T) {
	fake, c := client(t, "")
	if items, err := c.Details(t.Context(), nil); err != nil || len(items) != 0 {
		t.Errorf("no ids: %v, %v", items, err)
	}
	if fake.Count("api") != 0 {
		t.Error("steam was asked")
	}
}

func TestHugeAnswersAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`{"response":"`))
			w.Write(make([]byte, 17<<20))
		})
		_, err := of(endless, noLog).Details(t.Context(), []steam.ID{"1"})
		if err == nil || err.Error() != "steam answered more than 16 MiB" {
			t.Error(err)
		}
	})
}

// The same over real sockets with the client's own transport.
func TestOverTheNetwork(t *testing.T) {
	fake := steamtest.Start(t, threeItems)
	c := steam.NewClient(fake.URL, noLog)
	items, err := c.Details(t.Context(), []steam.ID{"2", "1"})
	if err != nil || len(items) != 2 || items[1].Title != "One" {
		t.Errorf("%v, %v", items, err)
	}
	fake.Tell(t, "forget\napi cut=30 times=1")
	if items, err := c.Details(t.Context(), []steam.ID{"1"}); err != nil || len(items) != 1 || fake.Count("api") != 2 {
		t.Errorf("after a cut: %v, %v, %d requests", items, err, fake.Count("api"))
	}
}

// A redirect could lead anywhere, and would turn the POST into a GET.
func TestRedirectsOfTheAPIAreNotFollowed(t *testing.T) {
	fake := steamtest.Start(t, "item 1")
	away := httptest.NewServer(http.RedirectHandler(fake.FileURL("1"), http.StatusFound))
	defer away.Close()
	_, err := steam.NewClient(away.URL, noLog).Details(t.Context(), []steam.ID{"1"})
	if err == nil || err.Error() != "steam answered 302" || len(fake.Requests()) != 0 {
		t.Errorf("%v, %v", err, fake.Requests())
	}
}

func TestParseURL(t *testing.T) {
	for setting, want := range map[string]string{
		"":                         "https://api.steampowered.com",
		"http://127.0.0.1:8000/":   "http://127.0.0.1:8000",
		"https://steam.test/base/": "https://steam.test/base",
	} {
		if got, err := steam.ParseURL(setting); got != want || err != nil {
			t.Errorf("%q: %q, %v", setting, got, err)
		}
	}
	for _, bad := range []string{"127.0.0.1:80", "ftp://x", "https://", "https://u:p@x", "https://x?y", "https://x#y", "https://x y"} {
		if got, err := steam.ParseURL(bad); err == nil || !strings.HasPrefix(err.Error(), "STEAM_API_URL: ") {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
}

func TestIDsAreNotReordered(t *testing.T) {
	_, c := client(t, "details reverse")
	ids := numbered(1, 350)
	slices.Reverse(ids)
	items, err := c.Details(t.Context(), ids)
	if err != nil || len(items) != 350 {
		t.Fatalf("%d items, %v", len(items), err)
	}
	for i, item := range items {
		if item.SteamID != ids[i] {
			t.Fatalf("item %d is %s, want %s", i, item.SteamID, ids[i])
		}
	}
}
