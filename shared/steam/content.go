package steam

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	defaultStall = 30 * time.Second
	// rateWindow is the time over which a connection must reach the minimum rate.
	rateWindow   = 60 * time.Second
	dialTimeout  = 10 * time.Second
	maxRedirects = 5
	// idlePerHost is enough to reuse the connections of all ranges that are downloaded in parallel.
	idlePerHost = 32
)

// Content downloads files from Steam's content hosts. It can be used by several goroutines at once.
//
// Links are not trusted: only the hosts of the setting are contacted, every redirect is checked like the first link, and the
// address is checked when connecting, so that a name cannot change to a private address after a check. A proxy from the
// environment (HTTPS_PROXY and so on) is used, never for loopback hosts; the proxy then resolves names, and is trusted to do so.
//
// It uses HTTP/1.1 only: with HTTP/2 all parallel ranges would share one connection, whose slowness they are meant to
// overcome (steam.md, Content).
type Content struct {
	hosts Hosts
	// stall is how long a server may send nothing, before the headers or in the body.
	stall time.Duration
	// minRate is how many bytes a second a body must deliver on average over each rateWindow; 0: any.
	minRate int
	client  *http.Client
	// toHost dials content hosts and checks their addresses.
	toHost *net.Dialer
}

// NewContent returns a client that connects only to hosts, and gives up connections that deliver fewer than minRate bytes a second;
// 0 turns that off.
func NewContent(hosts Hosts, minRate int) *Content {
	c := &Content{hosts: hosts, stall: defaultStall, minRate: minRate}
	toProxy := &net.Dialer{Timeout: dialTimeout}
	c.toHost = &net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		return hosts.checkAddress(address)
	}}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			// The host of every request has been checked before. Any other address is that of the proxy, which may be on a
			// private network.
			if host, port, err := net.SplitHostPort(address); err == nil {
				if _, ok := hosts.find(strings.ToLower(host), port); !ok {
					return toProxy.DialContext(ctx, network, address)
				}
			}
			return c.toHost.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: idlePerHost,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
		// Answers are files with few headers.
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(true)
	c.client = &http.Client{
		Transport: transport,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return &RefusedError{Host: req.URL.Host, Reason: "too many redirects"}
			}
			return hosts.checkURL(req.URL)
		},
	}
	return c
}

// Part is a file, or a range of it, being received.
type Part struct {
	// Body delivers exactly the bytes from From to To (exclusive) and then io.EOF. When the connection ends early, the error says
	// how many bytes arrived (it wraps io.ErrUnexpectedEOF, or the network's error). The caller closes Body. After it was read
	// to its end, its connection is reused.
	Body io.ReadCloser
	// From and To (exclusive) are positions in the file. To is -1 when the server sends the whole file without its length.
	From, To int64
	// Total is the length of the whole file in bytes, -1 when the server does not say.
	Total int64
	// Ranged is false when the server sent the whole file, even if a range was requested. Then From is 0.
	Ranged bool
}

// Get asks for the bytes from to to (exclusive) of rawURL; a negative to means until the end, and from 0 with a negative
// to asks for the whole file without a Range header. A file that is shorter than to yields a Part with a smaller To.
// The answer's Content-Range is compared with what was asked.
//
// Errors are *RefusedError for a link or redirect that is not allowed, *StatusError for any status but 200 and 206 (416 if from
// is not below the file's length), *RangeError, *HTMLError, *StalledError, *UnreachableError, or ctx's. When ctx ends, so does
// the reading of the body. Nothing is retried here.
func (c *Content) Get(ctx context.Context, rawURL string, from, to int64) (*Part, error) {
	if from < 0 || to >= 0 && to <= from {
		return nil, fmt.Errorf("invalid range %d to %d", from, to)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, &RefusedError{Host: rawURL, Reason: "it is not a link"}
	}
	if err := c.hosts.checkURL(u); err != nil {
		return nil, err
	}

	reading, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(reading, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, &RefusedError{Host: u.Host, Reason: "it is not a link"}
	}
	asked := rangeHeader(from, to)
	if asked != "" {
		req.Header.Set("Range", asked)
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", userAgent)

	b := &body{parent: ctx, ctx: reading, cancel: cancel, stall: c.stall, minRate: c.minRate}
	b.timer = time.AfterFunc(c.stall, func() { cancel(&StalledError{After: c.stall}) })
	resp, err := c.client.Do(req)
	b.timer.Stop()
	if err != nil {
		err = b.explain(err)
		cancel(nil)
		return nil, reachError(u.Host, err)
	}
	b.rc = resp.Body
	part, err := readHead(resp, asked, from, to)
	if err != nil {
		b.Close()
		return nil, err
	}
	b.length, b.left = part.To-part.From, part.To-part.From
	if part.To < 0 {
		b.length, b.left = -1, -1
	}
	part.Body = b
	return part, nil
}

// reachError returns err as *UnreachableError, unless it is of a type that Get returns as it is.
func reachError(host string, err error) error {
	var refused *RefusedError
	var stalled *StalledError
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &stalled):
		return stalled
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &UnreachableError{Host: host, Err: err}
}

func rangeHeader(from, to int64) string {
	switch {
	case to >= 0:
		return fmt.Sprintf("bytes=%d-%d", from, to-1)
	case from > 0:
		return fmt.Sprintf("bytes=%d-", from)
	}
	return ""
}

// readHead returns the Part, without its Body, that an answer's headers describe.
func readHead(resp *http.Response, asked string, from, to int64) (*Part, error) {
	host := resp.Request.URL.Host
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		return nil, &StatusError{Host: host, Code: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/html" {
		return nil, &HTMLError{Host: host}
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, fmt.Errorf("%s answered in encoding %q, which was not asked for", host, printable(enc, 100))
	}
	if resp.StatusCode == http.StatusOK {
		// A missing length is -1 in net/http as here.
		return &Part{To: resp.ContentLength, Total: resp.ContentLength}, nil
	}
	answered := resp.Header.Get("Content-Range")
	first, end, total, ok := parseContentRange(answered)
	lie := &RangeError{Host: host, Asked: asked, Answered: answered}
	switch {
	case asked == "" || !ok || first != from:
		return nil, lie
	case resp.ContentLength >= 0 && resp.ContentLength != end-first:
		return nil, lie
	case to >= 0 && end > to:
		return nil, lie
	case end != to && end != total && !(to < 0 && total < 0):
		// Only the end of the file may be shorter than asked.
		return nil, lie
	}
	return &Part{From: first, To: end, Total: total, Ranged: true}, nil
}

// parseContentRange reads `bytes 0-99/1000` as 0, 100, 1000; total is -1 for `*`.
func parseContentRange(s string) (first, end, total int64, ok bool) {
	s, ok1 := strings.CutPrefix(s, "bytes ")
	span, size, ok2 := strings.Cut(s, "/")
	a, b, ok3 := strings.Cut(span, "-")
	if !ok1 || !ok2 || !ok3 {
		return 0, 0, 0, false
	}
	// 62 bits leave room for the +1.
	first64, err1 := strconv.ParseUint(a, 10, 62)
	last64, err2 := strconv.ParseUint(b, 10, 62)
	first, end, total = int64(first64), int64(last64)+1, -1
	if size != "*" {
		total64, err := strconv.ParseUint(size, 10, 62)
		total = int64(total64)
		if err != nil || end > total {
			return 0, 0, 0, false
		}
	}
	return first, end, total, err1 == nil && err2 == nil && first < end
}

// body counts the received bytes and fails when nothing arrives for too long, or too little.
type body struct {
	rc     io.ReadCloser
	parent context.Context
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
	// length is the announced length, and left the part of it that is still to come; both are -1 when none was announced.
	length, left int64
	minRate      int
	// waited and received are the time that Read has waited for the server and the bytes that it has got, since the last window.
	waited   time.Duration
	received int
}

// Read measures only the time in which it waits for the server, so that a slow caller does not count as a stall.
func (b *body) Read(p []byte) (int, error) {
	begun := time.Now()
	b.timer.Reset(b.stall)
	n, err := b.rc.Read(p)
	b.timer.Stop()
	b.waited += time.Since(begun)
	b.received += n
	if b.length >= 0 {
		if int64(n) > b.left {
			return int(b.left), fmt.Errorf("more than the promised %d bytes arrived", b.length)
		}
		b.left -= int64(n)
		if err == io.EOF && b.left > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	if b.waited >= rateWindow {
		if err == nil && b.left != 0 && float64(b.received) < float64(b.minRate)*b.waited.Seconds() {
			return n, &StalledError{After: b.waited.Round(time.Second), Received: b.received}
		}
		b.waited, b.received = 0, 0
	}
	switch {
	case err == nil, err == io.EOF:
		return n, err
	case context.Cause(b.ctx) != nil:
		return n, b.explain(err)
	case b.length < 0:
		return n, fmt.Errorf("cut off: %w", err)
	}
	return n, fmt.Errorf("cut off after %d of %d bytes: %w", b.length-b.left, b.length, err)
}

// Close ends the request if the body was not read to its end.
func (b *body) Close() error {
	b.timer.Stop()
	err := b.rc.Close()
	b.cancel(nil)
	return err
}

// explain replaces the error of a cancelled request by the cause of the cancellation.
func (b *body) explain(err error) error {
	if b.parent.Err() != nil {
		return b.parent.Err()
	}
	if stalled := context.Cause(b.ctx); stalled != nil {
		return stalled
	}
	return cause(err)
}
