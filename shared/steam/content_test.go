package steam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"left4me/shared/steam/steamtest"
)

func hosts(t *testing.T, setting string) Hosts {
	t.Helper()
	h, err := ParseHosts(setting)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// start returns a fake of Steam with item 101 of 20,000 bytes, a client that may use it, and the item's content.
func start(t *testing.T) (*steamtest.Server, *Content, []byte) {
	t.Helper()
	fake := steamtest.Start(t, "item 101 size=20000")
	content := NewContent(hosts(t, fake.Host()), 0)
	t.Cleanup(content.client.CloseIdleConnections)
	whole, err := io.ReadAll(io.NewSectionReader(fake.File("101"), 0, 20000))
	if err != nil {
		t.Fatal(err)
	}
	return fake, content, whole
}

// read requests a part and reads its whole body.
func read(c *Content, ctx context.Context, url string, from, to int64) (*Part, []byte, error) {
	part, err := c.Get(ctx, url, from, to)
	if err != nil {
		return nil, nil, err
	}
	defer part.Body.Close()
	b, err := io.ReadAll(part.Body)
	return part, b, err
}

func TestParts(t *testing.T) {
	fake, c, whole := start(t)
	for _, test := range []struct {
		fault            string
		from, to         int64
		wantFrom, wantTo int64
		ranged           bool
		asked            string
	}{
		{"", 0, -1, 0, 20000, false, ""},
		{"", 0, 20000, 0, 20000, true, "bytes=0-19999"},
		{"", 100, 200, 100, 200, true, "bytes=100-199"},
		{"", 19999, 20000, 19999, 20000, true, "bytes=19999-19999"},
		{"", 100, -1, 100, 20000, true, "bytes=100-"},
		{"", 100, 90000, 100, 20000, true, "bytes=100-89999"},
		{"content no-ranges", 100, 200, 0, 20000, false, "bytes=100-199"},
		{"content redirect=self", 100, 200, 100, 200, true, "bytes=100-199"},
		{"content encoding=identity", 100, 200, 100, 200, true, "bytes=100-199"},
	} {
		t.Run(fmt.Sprint(test.fault, " ", test.from, " ", test.to), func(t *testing.T) {
			fake.Tell(t, "reset\nforget\n"+test.fault)
			part, b, err := read(c, t.Context(), fake.FileURL("101"), test.from, test.to)
			if err != nil {
				t.Fatal(err)
			}
			if part.From != test.wantFrom || part.To != test.wantTo || part.Total != 20000 || part.Ranged != test.ranged {
				t.Errorf("%+v", part)
			}
			if !bytes.Equal(b, whole[test.wantFrom:test.wantTo]) {
				t.Errorf("%d other bytes", len(b))
			}
			for _, r := range fake.Requests() {
				if r.Range != test.asked {
					t.Errorf("asked for %q", r.Range)
				}
			}
		})
	}
}

func TestAnswersThatAreNotTheFile(t *testing.T) {
	fake, c, _ := start(t)
	for _, test := range []struct {
		fault    string
		from, to int64
		want     string
	}{
		{"content status=404", 0, -1, "HOST answered 404"},
		{"content status=403", 0, 10, "HOST answered 403"},
		{"content status=500", 0, 10, "HOST answered 500"},
		{"content html", 0, -1, "HOST answered HTML instead of the file"},
		{"content refuse", 0, -1, "cannot reach HOST: EOF"},
		{"content lie-range", 100, 200, `HOST answered range "bytes 101-199/20000" when asked for "bytes=100-199"`},
		{"content lie-range", 100, -1, `HOST answered range "bytes 101-19999/20000" when asked for "bytes=100-"`},
		{"content encoding=gzip", 0, -1, `HOST answered in encoding "gzip", which was not asked for`},
		{"", 20000, 20001, "HOST answered 416"},
		{"", -1, 5, "invalid range -1 to 5"},
		{"", 5, 5, "invalid range 5 to 5"},
	} {
		t.Run(test.fault, func(t *testing.T) {
			fake.Tell(t, "reset\n"+test.fault)
			_, err := c.Get(t.Context(), fake.FileURL("101"), test.from, test.to)
			if err == nil || err.Error() != strings.ReplaceAll(test.want, "HOST", fake.Host()) {
				t.Error(err)
			}
		})
	}
	fake.Tell(t, "reset\ncontent status=429 retry-after=9")
	_, err := c.Get(t.Context(), fake.FileURL("101"), 0, -1)
	if status, ok := errors.AsType[*StatusError](err); !ok || status.Code != 429 || status.RetryAfter != 9*time.Second {
		t.Error(err)
	}
}

func TestTooManyRedirectsAreRefused(t *testing.T) {
	fake, c, _ := start(t)
	fake.Tell(t, "content redirect=loop")
	_, err := c.Get(t.Context(), fake.FileURL("101"), 0, -1)
	if err == nil || err.Error() != fake.Host()+" refused: too many redirects" || fake.Count("content") != 6 {
		t.Errorf("%v after %d requests", err, fake.Count("content"))
	}
}

// Answers to a request for bytes 100 to 200 that the fake cannot give.
func TestWrongRangesAreRefused(t *testing.T) {
	for _, test := range []struct {
		contentRange string
		length       int
		chunked      bool
		// wantTo is the end of a correct answer; 0 when the headers must be refused.
		wantTo int64
		body   string
	}{
		{"bytes 100-199/1000", 100, false, 200, ""},
		{"bytes 100-199/1000", 100, true, 200, ""},
		{"bytes 100-199/*", 100, false, 200, ""},
		{"bytes 100-149/150", 50, false, 150, ""},
		{"", 100, false, 0, ""},
		{"bytes", 100, false, 0, ""},
		{"bytes */1000", 100, false, 0, ""},
		{"bytes 0-99/1000", 100, false, 0, ""},
		{"bytes 101-200/1000", 100, false, 0, ""},
		{"bytes 150-199/1000", 50, false, 0, ""},
		{"bytes 100-200/1000", 101, false, 0, ""},
		{"bytes 100-299/300", 200, false, 0, ""},
		{"bytes 100-149/1000", 50, false, 0, ""},
		{"bytes 100-149/*", 50, false, 0, ""},
		{"bytes 100-199/150", 100, false, 0, ""},
		{"bytes 100-99/1000", 100, false, 0, ""},
		{"bytes 100-199/1000", 99, false, 0, ""},
		{"bytes 100-199/1000", 101, false, 0, ""},
		{"bytes -100-199/1000", 100, false, 0, ""},
		{"bytes +100-199/1000", 100, false, 0, ""},
		{"bytes 100-18446744073709551615/18446744073709551615", 100, false, 0, ""},
		{"bytes 100-9223372036854775807/*", 100, false, 0, ""},
		{"bytes 100-199/1000", 99, true, 200, "cut off after 99 of 100 bytes: unexpected EOF"},
		{"bytes 100-199/1000", 101, true, 200, "more than the promised 100 bytes arrived"},
	} {
		t.Run(fmt.Sprint(test.contentRange, " ", test.length, " ", test.chunked), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if test.contentRange != "" {
					w.Header().Set("Content-Range", test.contentRange)
				}
				w.Header().Set("Content-Type", "application/octet-stream")
				if !test.chunked {
					w.Header().Set("Content-Length", fmt.Sprint(test.length))
				}
				w.WriteHeader(http.StatusPartialContent)
				if test.chunked {
					w.(http.Flusher).Flush()
				}
				w.Write(make([]byte, test.length))
			}))
			defer server.Close()
			c := NewContent(hosts(t, server.Listener.Addr().String()), 0)
			defer c.client.CloseIdleConnections()
			part, b, err := read(c, t.Context(), server.URL, 100, 200)
			if test.wantTo == 0 {
				if _, ok := errors.AsType[*RangeError](err); !ok {
					t.Fatalf("%+v, %v", part, err)
				}
				return
			}
			if part == nil || part.From != 100 || part.To != test.wantTo {
				t.Fatalf("%+v, %v", part, err)
			}
			switch {
			case test.body == "" && (err != nil || int64(len(b)) != part.To-part.From):
				t.Errorf("%d bytes, %v", len(b), err)
			case test.body != "" && (err == nil || err.Error() != test.body):
				t.Error(err)
			case len(b) > 100:
				t.Errorf("%d bytes were let through", len(b))
			}
		})
	}
}

func TestInvalidRangesAreRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-9/10")
		w.WriteHeader(http.StatusPartialContent)
		w.Write(make([]byte, 10))
	}))
	defer server.Close()
	_, err := NewContent(hosts(t, server.Listener.Addr().String()), 0).Get(t.Context(), server.URL, 0, -1)
	if _, ok := errors.AsType[*RangeError](err); !ok {
		t.Error(err)
	}
}

// A whole file without a length is accepted: vpkcache knows the right length.
func TestUnknownLength(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.(http.Flusher).Flush()
		w.Write(make([]byte, 1234))
	}))
	defer server.Close()
	part, b, err := read(NewContent(hosts(t, server.Listener.Addr().String()), 0), t.Context(), server.URL, 10, -1)
	if err != nil || len(b) != 1234 || part.To != -1 || part.Total != -1 || part.Ranged {
		t.Errorf("%+v, %d bytes, %v", part, len(b), err)
	}
}

func TestConnectionsThatBreak(t *testing.T) {
	fake, c, whole := start(t)
	fake.Tell(t, "content cut=7000")
	_, b, err := read(c, t.Context(), fake.FileURL("101"), 1000, -1)
	if !errors.Is(err, io.ErrUnexpectedEOF) || err.Error() != "cut off after 7000 of 19000 bytes: unexpected EOF" {
		t.Error(err)
	}
	if !bytes.Equal(b, whole[1000:8000]) {
		t.Errorf("%d bytes arrived before the cut", len(b))
	}
}

func TestStalls(t *testing.T) {
	fake, c, _ := start(t)
	c.stall = 3 * time.Second
	for fault, arrived := range map[string]int{"content stall=1000": 1000, "content delay=1h": 0} {
		fake.Tell(t, "reset\n"+fault)
		_, b, err := read(c, t.Context(), fake.FileURL("101"), 0, -1)
		stalled, ok := err.(*StalledError)
		if !ok || stalled.Error() != "stalled: no data for 3s" || len(b) != arrived {
			t.Errorf("%s: %d bytes, %v", fault, len(b), err)
		}
	}
}

// Only a silent server is a stall, not a reader that waits for a slow disk.
func TestASlowReaderIsNotAStall(t *testing.T) {
	b := &body{rc: io.NopCloser(strings.NewReader("abc")), parent: t.Context(), stall: time.Hour, length: 3, left: 3}
	b.ctx, b.cancel = context.WithCancelCause(t.Context())
	b.timer = time.AfterFunc(b.stall, func() { b.cancel(&StalledError{}) })
	b.timer.Stop()
	defer b.Close()
	one := make([]byte, 1)
	for range 3 {
		if _, err := b.Read(one); err != nil {
			t.Fatal(err)
		}
		if b.timer.Stop() {
			t.Fatal("the timer runs while nobody reads")
		}
	}
}

// drip answers every request with a body of size bytes, so many of them after each pause.
type drip struct {
	size, bytes int
	pause       time.Duration
}

func (d *drip) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, ContentLength: int64(d.size), Body: io.NopCloser(d), Request: r}, nil
}

func (d *drip) Read(p []byte) (int, error) {
	if d.size == 0 {
		return 0, io.EOF
	}
	time.Sleep(d.pause)
	n := min(len(p), d.bytes, d.size)
	d.size -= n
	return n, nil
}

// A server must not be able to occupy a job by sending just enough not to stall. (The clock is not real: nothing here waits.)
func TestConnectionsMustDeliverTheMinimumRate(t *testing.T) {
	for name, test := range map[string]struct {
		drip    drip
		minRate int
		reading time.Duration // how long the reader takes for each part
		want    string
	}{
		"a byte every 5 s":        {drip{1000, 1, 5 * time.Second}, 100, 0, "too slow: 12 bytes in 1m0s"},
		"a little too slow":       {drip{100000, 495, 5 * time.Second}, 100, 0, "too slow: 5940 bytes in 1m0s"},
		"fast enough":             {drip{100000, 505, 5 * time.Second}, 100, 0, ""},
		"exactly fast enough":     {drip{200000, 60000, time.Minute}, 1000, 0, ""},
		"complete after a minute": {drip{12, 1, 5 * time.Second}, 100, 0, ""},
		"a slow reader":           {drip{20, 1, 0}, 100, 10 * time.Second, ""},
		"no minimum":              {drip{100, 1, 5 * time.Second}, 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := NewContent(hosts(t, "127.0.0.1:1"), test.minRate)
				c.stall = 2 * time.Minute
				size := test.drip.size
				c.client.Transport = &test.drip
				part, err := c.Get(t.Context(), "http://127.0.0.1:1/", 0, -1)
				if err != nil {
					t.Fatal(err)
				}
				defer part.Body.Close()
				got, buf := 0, make([]byte, 64<<10)
				for err == nil {
					var n int
					n, err = part.Body.Read(buf)
					got += n
					time.Sleep(test.reading)
				}
				if test.want == "" && (err != io.EOF || got != size) || test.want != "" && (err.Error() != test.want || Kind(err) != "stalled") {
					t.Errorf("%d of %d bytes, %v; want %q", got, size, err, test.want)
				}
			})
		})
	}
}

func TestCancelledDownloadsEndAtOnce(t *testing.T) {
	for _, fault := range []string{"content delay=1h", "content stall=1000"} {
		fake, c, _ := start(t)
		fake.Tell(t, fault)
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		reading := make(chan struct{})
		go func() {
			if fault == "content delay=1h" {
				close(reading)
				_, err := c.Get(ctx, fake.FileURL("101"), 0, -1)
				ended <- err
				return
			}
			part, err := c.Get(ctx, fake.FileURL("101"), 0, -1)
			if err == nil {
				defer part.Body.Close()
				_, err = io.ReadFull(part.Body, make([]byte, 1000))
				close(reading)
			}
			if err == nil {
				_, err = part.Body.Read(make([]byte, 1))
			}
			ended <- err
		}()
		<-reading
		cancel(errors.New("somebody pressed a button"))
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", fault, err)
		}
	}
}

// Repeated downloads of sixteen ranges at once use the same connections.
func TestConnectionsAreReused(t *testing.T) {
	fake, c, whole := start(t)
	var mu sync.Mutex
	reused, opened := 0, 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		mu.Lock()
		defer mu.Unlock()
		if i.Reused {
			reused++
		} else {
			opened++
		}
	}})
	for range 5 {
		var parts sync.WaitGroup
		for i := range int64(16) {
			parts.Go(func() {
				_, b, err := read(c, ctx, fake.FileURL("101"), i*1000, i*1000+1000)
				if err != nil || !bytes.Equal(b, whole[i*1000:i*1000+1000]) {
					t.Errorf("part %d: %d bytes, %v", i, len(b), err)
				}
			})
		}
		parts.Wait()
	}
	if opened > 16 || reused < 64 {
		t.Errorf("%d connections opened, %d used again", opened, reused)
	}
}

func TestLinksThatAreNotAllowed(t *testing.T) {
	fake, c, _ := start(t)
	for link, want := range map[string]string{
		"https://evil.test/ugc/1/":         "evil.test refused: it is not one of the hosts that files may come from (STEAM_CDN_HOSTS)",
		"http://127.0.0.1:1/":              "127.0.0.1:1 refused: it is not one of",
		"http://127.0.0.1/":                "127.0.0.1 refused: it is not one of",
		"http://" + fake.Host() + "@evil/": "evil refused: the link carries a user name",
		"http://a:b@" + fake.Host() + "/":  fake.Host() + " refused: the link carries a user name",
		"ftp://" + fake.Host() + "/":       fake.Host() + " refused: the link is neither https nor http",
		"file:///etc/passwd":               " refused: the link is neither https nor http",
		"//" + fake.Host() + "/":           fake.Host() + " refused: the link is neither https nor http",
		"http://[::1%25lo]/":               "[::1%lo] refused: it is not one of",
		"":                                 " refused: the link is neither",
		"http://127.0.0.1:port/":           "http://127.0.0.1:port/ refused: it is not a link",
	} {
		_, err := c.Get(t.Context(), link, 0, -1)
		if refused, ok := err.(*RefusedError); !ok || !strings.HasPrefix(refused.Error(), want) {
			t.Errorf("%s: %v", link, err)
		}
	}
	if len(fake.Requests()) != 0 {
		t.Errorf("asked %v", fake.Requests())
	}
}

func TestRedirectsAreCheckedLikeLinks(t *testing.T) {
	fake, c, _ := start(t)
	other := steamtest.Start(t, "item 101")
	for target, want := range map[string]string{
		other.FileURL("101"):              "it is not one of the hosts",
		"https://169.254.169.254/latest":  "it is not one of the hosts",
		"https://evil.test/":              "it is not one of the hosts",
		"ftp://" + fake.Host() + "/":      "the link is neither https nor http",
		"http://a:b@" + fake.Host() + "/": "the link carries a user name",
		"file:///etc/passwd":              "the link is neither https nor http",
	} {
		fake.Tell(t, "reset\ncontent redirect="+target)
		_, err := c.Get(t.Context(), fake.FileURL("101"), 0, -1)
		if refused, ok := err.(*RefusedError); !ok || !strings.HasPrefix(refused.Reason, want) {
			t.Errorf("to %s: %v", target, err)
		}
	}
	if len(other.Requests()) != 0 {
		t.Errorf("asked %v", other.Requests())
	}
}

// nameServer answers every request for an A record with one address.
func nameServer(t *testing.T, address [4]byte) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type},
					Body:   &dnsmessage.AResource{A: address},
				}}
			}
			if packed, err := m.Pack(); err == nil {
				conn.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// An allowed name leads to a private address, as after DNS rebinding.
func TestNamesCannotLeadToPrivateAddresses(t *testing.T) {
	for _, address := range [][4]byte{{127, 0, 0, 1}, {10, 0, 0, 7}, {169, 254, 169, 254}} {
		c := NewContent(hosts(t, ""), 0)
		c.toHost.Resolver = nameServer(t, address)
		_, err := c.Get(t.Context(), "https://cdn.steamusercontent.com/ugc/1/", 0, -1)
		want := fmt.Sprintf("%s:443 refused: the address is not a public one and STEAM_CDN_HOSTS does not name it", netip.AddrFrom4(address))
		if refused, ok := err.(*RefusedError); !ok || refused.Error() != want {
			t.Errorf("%v: %v", address, err)
		}
	}
	// With the address in the setting it is allowed, but nothing listens there.
	c := NewContent(hosts(t, "cdn.steamusercontent.com:1, 127.0.0.1:1"), 0)
	c.toHost.Resolver = nameServer(t, [4]byte{127, 0, 0, 1})
	_, err := c.Get(t.Context(), "https://cdn.steamusercontent.com:1/", 0, -1)
	if _, ok := err.(*UnreachableError); !ok || !strings.HasSuffix(err.Error(), "connection refused") {
		t.Errorf("a named address: %v", err)
	}
}

// The operator's proxy may be on a private network that the setting does not name.
func TestProxiesAreReached(t *testing.T) {
	fake := steamtest.New()
	fake.Tell(t, "item 101")
	proxy := httptest.NewServer(fake)
	defer proxy.Close()
	behind, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := NewContent(hosts(t, "127.0.0.1:1"), 0)
	defer c.client.CloseIdleConnections()
	c.client.Transport.(*http.Transport).Proxy = http.ProxyURL(behind)
	link := "http://127.0.0.1:1/ugc/101/" + fake.File("101").SHA1() + "/"
	if _, b, err := read(c, t.Context(), link, 0, 10); err != nil || len(b) != 10 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// With HTTP/2 parallel ranges would share one connection.
func TestHTTPSWithoutHTTP2(t *testing.T) {
	proto := ""
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto = r.Proto
		http.ServeContent(w, r, "file.vpk", time.Time{}, strings.NewReader("content"))
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	c := NewContent(hosts(t, server.Listener.Addr().String()), 0)
	c.client.Transport.(*http.Transport).TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	defer c.client.CloseIdleConnections()
	if _, b, err := read(c, t.Context(), server.URL, 1, 4); err != nil || string(b) != "ont" || proto != "HTTP/1.1" {
		t.Errorf("%q over %s, %v", b, proto, err)
	}
	stranger := NewContent(hosts(t, server.Listener.Addr().String()), 0)
	if _, err := stranger.Get(t.Context(), server.URL, 0, -1); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0}, {"3", "", 3 * time.Second}, {" 3 ", "", 3 * time.Second}, {"-3", "", 0}, {"1.5", "", 0}, {"99999999999999999999", "", 0},
		{"Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30 * time.Second},
		{"Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:30 GMT", 0},
		{"Wed, 21 Oct 2026 07:28:30 GMT", "", 0},
	} {
		h := http.Header{"Retry-After": {c.value}, "Date": {c.date}}
		if got := retryAfter(h); got != c.want {
			t.Errorf("%q: %s", c.value, got)
		}
	}
}
