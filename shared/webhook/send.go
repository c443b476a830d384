package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"left4me/shared/address"
	"left4me/shared/route"
)

const (
	// sendTime is how long an attempt may take.
	sendTime = 10 * time.Second
	// maxRedirects is how many redirects are followed.
	maxRedirects = 3
	// maxAnswer is how many bytes of an answer are kept.
	maxAnswer = 300
	// maxRetryAfter is the longest pause that a receiver can ask for.
	maxRetryAfter = 30 * time.Minute
)

// Answer is what came of an attempt.
type Answer struct {
	Delivered bool
	// Text says it for people, without the path of the URL, which may be secret.
	Text string
	// Wait is whether nothing else should be sent for now: there was no answer, or the receiver has asked for a pause of RetryAfter.
	Wait       bool
	RetryAfter time.Duration
}

// Sender sends deliveries. It connects to public addresses only, unless the webhook is Private: it checks each address that it is about to
// connect to, so that neither a name nor a redirect leads elsewhere. It uses no proxy, which would resolve names itself.
type Sender struct {
	// Panel is the URL of left4me's pages; empty if it is not known.
	Panel string
	// Version is left4me's.
	Version string
	// Public tells which addresses webhooks may have. It is address.Public except in tests.
	Public func(netip.Addr) bool
}

// NewSender returns a Sender.
func NewSender(panel, version string) Sender {
	return Sender{Panel: panel, Version: version, Public: address.Public}
}

// errPrivate is the error of an address that is not public.
type errPrivate struct{ address string }

func (e errPrivate) Error() string {
	return fmt.Sprintf("%s is not a public address. An administrator can add a webhook that may have such addresses.", e.address)
}

// client returns the client for a webhook.
func (s Sender) client(private bool) *http.Client {
	dialer := &net.Dialer{Control: func(_, hostPort string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(hostPort)
		if err == nil && !private && !s.Public(to.Addr()) {
			err = errPrivate{to.Addr().String()}
		}
		return err
	}}
	return &http.Client{
		Timeout: sendTime,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		},
		// A redirect that turns the POST into a GET is an answer.
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.Method != http.MethodPost || len(via) > maxRedirects {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// Send makes one attempt to send d to w at now. The error is ctx's.
func (s Sender) Send(ctx context.Context, w Webhook, d Delivery, now time.Time) (Answer, error) {
	body, err := s.body(w.Format, d.Event)
	var r *http.Request
	if err == nil {
		r, err = http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	}
	var key []byte
	if err == nil {
		key, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(w.Secret, secretPrefix))
	}
	if err != nil {
		return Answer{Text: "It could not be sent: " + cause(err) + "."}, nil
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "left4me/"+s.Version)
	r.Header.Set("Webhook-Id", d.Event.ID)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("Webhook-Signature", sign(key, d.Event.ID, now, body))
	resp, err := s.client(w.Private).Do(r)
	if ctx.Err() != nil {
		return Answer{}, context.Cause(ctx)
	}
	if err != nil {
		return Answer{Text: "No answer: " + cause(err), Wait: true}, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what has come is enough
	a := Answer{Delivered: resp.StatusCode/100 == 2, Text: "Answered " + resp.Status}
	if said := readable(text); said != "" {
		a.Text += ": " + said
	}
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode/100 == 3 {
		a.Text += ", a redirect that left4me does not follow"
	}
	if seconds, err := strconv.ParseFloat(resp.Header.Get("Retry-After"), 64); err == nil && !a.Delivered && seconds >= 0 {
		a.Wait, a.RetryAfter = true, time.Duration(min(seconds, maxRetryAfter.Seconds())*float64(time.Second))
	}
	return a, nil
}

// sign returns the signature of standardwebhooks.com: of the delivery's id, the time in Unix seconds, and the body, with points between them.
func sign(key []byte, id string, now time.Time, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", id, now.Unix(), body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// cause returns the text of err without the URL.
func cause(err error) string {
	if private := (errPrivate{}); errors.As(err, &private) {
		return private.Error()
	}
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Sprintf("nothing came within %s.", sendTime)
	}
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return readable([]byte(err.Error()))
}

// readable returns text in one line, without what cannot be shown.
func readable(text []byte) string {
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(text), "\uFFFD"))
	return strings.Join(strings.Fields(clean), " ")
}

// body returns what is sent.
func (s Sender) body(f Format, e Event) ([]byte, error) {
	e.URL = s.page(e)
	if f == JSON {
		return json.Marshal(e)
	}
	type embed struct {
		Title       string    `json:"title"`
		Description string    `json:"description,omitempty"`
		URL         string    `json:"url,omitempty"`
		Timestamp   time.Time `json:"timestamp"`
		Color       int       `json:"color"`
	}
	what := e.Kind.Title()
	if about := e.About(); about != "" {
		what = about + ": " + what
	}
	if e.Host != "" {
		what += " on " + e.Host
	}
	colour := 0x6a9a2d // green
	switch e.Kind {
	case BuildFailed, ServerCrashed, ItemGone:
		colour = 0xb3261e // red
	case UpdateWaiting, ServerDown:
		colour = 0xc98a00 // amber
	}
	return json.Marshal(struct {
		Embeds   []embed             `json:"embeds"`
		Mentions map[string][]string `json:"allowed_mentions"`
	}{
		Embeds: []embed{{Title: markdown(what, maxTitle), Description: markdown(e.Sentence(), maxDescription), URL: e.URL, Timestamp: e.At, Color: colour}},
		// Names are anybody's: they must not call people.
		Mentions: map[string][]string{"parse": {}},
	})
}

// The longest texts of Discord, in characters, are twice as long: each character of ours may be escaped.
const (
	maxTitle       = 120
	maxDescription = 2000
)

// markdown returns text, cut off after limit characters, so that Discord shows it as it is.
func markdown(text string, limit int) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		if limit--; limit < 0 {
			b.WriteString("…")
			break
		}
		if r < unicode.MaxASCII && unicode.In(r, unicode.Punct, unicode.Symbol) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// page returns the URL of left4me's page about an event; empty if it is not known.
func (s Sender) page(e Event) string {
	switch {
	case s.Panel == "":
		return ""
	case e.Overlay != nil:
		return s.Panel + route.OverlayShow.URL(e.Overlay.ID)
	case e.Server != nil:
		return s.Panel + route.ServerShow.URL(e.Server.ID)
	}
	return s.Panel
}
