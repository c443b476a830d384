package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"left4me/shared/webhook"
)

// received is a request that a receiver has got.
type received struct {
	header http.Header
	body   []byte
}

// receiver serves at an address with handler, which may be nil, and returns its URL and what it gets.
func receiver(t *testing.T, address string, handler http.HandlerFunc) (string, <-chan received) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan received, 100)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- received{r.Header, body}
		if handler != nil {
			handler(w, r)
		}
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, got
}

// sender takes only 127.0.0.2 for public.
var sender = webhook.Sender{Panel: "https://panel.example", Version: "1.2", Public: func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.2") }}

const key = "a key of thirty-two bytes, yes it "

func hook(to string) webhook.Webhook {
	return webhook.Webhook{ID: 1, URL: to, Format: webhook.JSON, Secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))}
}

var (
	sentAt   = time.Unix(1_800_000_000, 0).UTC()
	delivery = webhook.Delivery{Event: webhook.Event{ID: "abc", Kind: webhook.ContentChanged, At: sentAt.Add(-time.Minute), Overlay: &webhook.Named{ID: 7, Name: "maps"}, Total: 3,
		Items: []webhook.Item{{SteamID: "1", Title: "Urban *Flight*", Change: "new"}, {SteamID: "2", Change: "removed"}}}}
)

func send(t *testing.T, w webhook.Webhook) webhook.Answer {
	t.Helper()
	a, err := sender.Send(t.Context(), w, delivery, sentAt)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// shows: P82
func TestADeliveryIsSigned(t *testing.T) {
	to, got := receiver(t, "127.0.0.2:0", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if a := send(t, hook(to+"/secret-path")); !a.Delivered || a.Text != "Answered 204 No Content" {
		t.Errorf("%+v", a)
	}
	r := <-got
	mac := hmac.New(sha256.New, []byte(key))
	io.WriteString(mac, "abc.1800000000."+string(r.body))
	for name, want := range map[string]string{
		"Webhook-Id": "abc", "Webhook-Timestamp": "1800000000", "Webhook-Signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)),
		"Content-Type": "application/json", "User-Agent": "left4me/1.2",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	want := `{"id":"abc","event":"content_changed","at":"2027-01-15T07:59:00Z","overlay":{"id":7,"name":"maps"},` +
		`"items":[{"steam_id":"1","title":"Urban *Flight*","change":"new"},{"steam_id":"2","title":"","change":"removed"}],"items_total":3,"url":"https://panel.example/overlays/7"}`
	if string(r.body) != want {
		t.Errorf("body\n%s, want\n%s", r.body, want)
	}
}

// shows: P82
func TestDiscordsFormat(t *testing.T) {
	to, got := receiver(t, "127.0.0.2:0", nil)
	w := hook(to)
	w.Format = webhook.Discord
	if a := send(t, w); !a.Delivered {
		t.Errorf("%+v", a)
	}
	var message struct {
		Embeds []struct {
			Title, Description, URL string
			Timestamp               time.Time
		}
		AllowedMentions struct{ Parse []string } `json:"allowed_mentions"`
	}
	if err := json.Unmarshal((<-got).body, &message); err != nil || len(message.Embeds) != 1 || message.AllowedMentions.Parse == nil || len(message.AllowedMentions.Parse) != 0 {
		t.Fatalf("%+v, %v", message, err)
	}
	e := message.Embeds[0]
	// Titles of items are strangers': none of their characters formats text or makes a link.
	if e.Title != `maps\: content changed` || e.Description != `1 item new \(Urban \*Flight\*\)\, 1 item removed \(2\)\, and 1 more` || e.URL != "https://panel.example/overlays/7" || !e.Timestamp.Equal(sentAt.Add(-time.Minute)) {
		t.Errorf("%+v", e)
	}
}

func TestWhatDiscordRefusesForItsLengthIsCut(t *testing.T) {
	to, got := receiver(t, "127.0.0.2:0", nil)
	w := hook(to)
	w.Format = webhook.Discord
	long := delivery
	long.Event.Text, long.Event.Overlay = strings.Repeat("*", 9000), &webhook.Named{Name: strings.Repeat("ü!", 300)}
	if a, err := sender.Send(t.Context(), w, long, sentAt); err != nil || !a.Delivered {
		t.Fatal(a, err)
	}
	var message struct {
		Embeds []struct{ Title, Description string }
	}
	if err := json.Unmarshal((<-got).body, &message); err != nil {
		t.Fatal(err)
	}
	if e := message.Embeds[0]; len([]rune(e.Title)) > 256 || len([]rune(e.Description)) > 4096 {
		t.Errorf("a title of %d and a description of %d characters", len([]rune(e.Title)), len([]rune(e.Description)))
	}
}

// The address that is connected to counts, wherever it comes from.
//
// shows: P82
func TestAddressesThatAreNotPublicAreNeverConnectedTo(t *testing.T) {
	inside, reached := receiver(t, "127.0.0.1:0", nil)
	port := inside[strings.LastIndexByte(inside, ':'):]
	public, redirected := receiver(t, "127.0.0.2:0", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, inside+"/inside", http.StatusTemporaryRedirect)
	})
	for what, to := range map[string]string{"an address": inside, "a name": "http://localhost" + port, "IPv4 in IPv6": "http://[::ffff:127.0.0.1]" + port, "a redirect": public, "another form": "http://0x7f000001" + port} {
		a := send(t, hook(to))
		if a.Delivered || !a.Wait || !strings.Contains(a.Text, "No answer: ") || what != "another form" && !strings.Contains(a.Text, "is not a public address") {
			t.Errorf("%s: %+v", what, a)
		}
	}
	if len(redirected) != 1 || len(reached) != 0 {
		t.Errorf("%d requests to the public address, %d inside", len(redirected), len(reached))
	}
	allowed := hook(inside)
	allowed.Private = true
	if a := send(t, allowed); !a.Delivered || len(reached) != 1 {
		t.Errorf("allowed by an administrator: %+v", a)
	}
	// A public name that leads elsewhere a moment later is the same: the name is resolved for the connection, and that address is checked.
	if a := (webhook.NewSender("", "1")); a.Public(netip.MustParseAddr("127.0.0.1")) || !a.Public(netip.MustParseAddr("23.45.67.89")) {
		t.Error("which addresses are public")
	}
}

func TestAnswers(t *testing.T) {
	refused, _ := receiver(t, "127.0.0.2:0", nil)
	u, _ := url.Parse(refused)
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	for what, c := range map[string]struct {
		handler http.HandlerFunc
		want    webhook.Answer
	}{
		"an error": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no\n<b>\x00room", http.StatusServiceUnavailable)
		}, webhook.Answer{Text: "Answered 503 Service Unavailable: no <b> room"}},
		"too much": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "2.5")
			w.WriteHeader(http.StatusTooManyRequests)
		}, webhook.Answer{Text: "Answered 429 Too Many Requests", Wait: true, RetryAfter: 2500 * time.Millisecond}},
		"for years": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "999999999999")
			w.WriteHeader(http.StatusTooManyRequests)
		}, webhook.Answer{Text: "Answered 429 Too Many Requests", Wait: true, RetryAfter: 30 * time.Minute}},
		"a redirect that drops the body": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, webhook.Answer{Text: "Answered 302 Found, a redirect that left4me does not follow"}},
		"redirects without end":          {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusPermanentRedirect) }, webhook.Answer{Text: "Answered 308 Permanent Redirect, a redirect that left4me does not follow"}},
		"a long text":                    {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 1000)) }, webhook.Answer{Delivered: true, Text: "Answered 200 OK: " + strings.Repeat("x", 300)}},
	} {
		to, _ := receiver(t, "127.0.0.2:0", c.handler)
		if got := send(t, hook(to)); got != c.want {
			t.Errorf("%s: %+v, want %+v", what, got, c.want)
		}
	}
	if a := send(t, hook("http://"+closed+"/secret-path")); a.Delivered || !a.Wait || strings.Contains(a.Text, "secret-path") || !strings.Contains(a.Text, "connection refused") {
		t.Errorf("nobody listens: %+v", a)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := sender.Send(ctx, hook("http://"+u.Host), delivery, sentAt); err == nil {
		t.Error("a cancelled attempt has no error")
	}
}
