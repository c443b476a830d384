package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"left4me/localrun/lambdahost"
	"left4me/shared/route"
)

func TestWhoIsOneClient(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for remote, want := range map[string]string{
		"192.0.2.1:5":               "192.0.2.1/32",
		"[::ffff:192.0.2.1]:5":      "192.0.2.1/32",
		"[2001:db8:1:2:3::4%eth]:5": "2001:db8:1:2::/64",
		"10.1.2.3:5":                "invalid Prefix",
		"@":                         "invalid Prefix",
	} {
		if got := limitedClient(remote, proxies).String(); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}

func TestDefaultLimitsLeaveFilesForTheRest(t *testing.T) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}()
	for files, want := range map[uint64]int{100: 50, 512: 256, 1024: 768, 4096: 2048} {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: min(files, before.Max), Max: before.Max}); err != nil {
			t.Fatal(err)
		}
		if l := DefaultLimits(); files <= before.Max && (l.Connections != want || l.Requests >= want || l.RequestsEach >= l.ConnectionsEach) {
			t.Errorf("%d files: %+v", files, l)
		}
	}
}

var (
	anna = netip.MustParsePrefix("192.0.2.1/32")
	bert = netip.MustParsePrefix("192.0.2.2/32")
	carl = netip.MustParsePrefix("192.0.2.3/32")
)

func TestWhoseMemoryIsDropped(t *testing.T) {
	dropped := ""
	m := memory{most: 100}
	take := func(client netip.Prefix, size int64, name string) *part {
		return m.take(client, size, func() { dropped += name })
	}
	expect := func(p *part, taken bool, want string) {
		t.Helper()
		if (p != nil) != taken || dropped != want || m.used > m.most {
			t.Fatalf("taken: %v, dropped %q, want %q; %d bytes are in use", p != nil, dropped, want, m.used)
		}
		dropped = ""
	}
	a1 := take(anna, 20, "a1")
	expect(a1, true, "")
	expect(take(bert, 30, "b1"), true, "")
	expect(take(bert, 20, "b2"), true, "")
	c1 := take(carl, 30, "c1")
	expect(c1, true, "") // all is in use
	expect(take(anna, 10, "a2"), true, "b1")
	expect(take(bert, 60, "b3"), true, "a1c1")
	a1.release() // after it has been dropped
	if m.used != 90 {
		t.Errorf("%d bytes are in use", m.used)
	}
	expect(take(carl, 101, "c2"), false, "") // more than there is
	kept := take(anna, 60, "a3")
	expect(kept, true, "b2b3")
	if !kept.keep() {
		t.Error("it was dropped")
	}
	expect(take(bert, 50, "b4"), false, "")
	kept.release()
	kept.release()
	b5 := take(bert, 50, "b5")
	expect(b5, true, "")
	expect(take(carl, 60, "c3"), true, "b5")
	if b5.keep() {
		t.Error("it was not dropped")
	}
}

// two is the gateway of a page and a form, whose function waits for goOn if it is not nil.
func two(t *testing.T, limits Limits, functions Invoker, proxies ...netip.Prefix) *Gateway {
	g, _ := newGateway(t, []route.Route{
		{Name: "page", Method: "GET", Pattern: "/page"},
		{Name: "form", Method: "POST", Pattern: "/form", MaxBody: 1 << 20},
	}, functions)
	g.cfg.TrustedProxies = proxies
	g.cfg.Limits = limits
	again, err := New(g.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestRequestsAboveTheLimitAreRefused(t *testing.T) {
	working, goOn := make(chan struct{}), make(chan struct{})
	g := two(t, Limits{Requests: 3, RequestsEach: 1, Uploads: 100, Answers: 100}, answers(func(context.Context, string, string, []byte) (lambdahost.Answer, error) {
		working <- struct{}{}
		<-goOn
		return lambdahost.Answer{Payload: []byte(`{"statusCode":200}`)}, nil
	}), netip.MustParsePrefix("10.0.0.0/8"))
	ask := func(remote, forwarded string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/page", nil)
		r.RemoteAddr = remote
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w
	}
	done := make(chan int)
	begin := func(remote, forwarded string) {
		t.Helper()
		go func() { done <- ask(remote, forwarded).Code }()
		<-working
	}
	refused := func(remote, forwarded string) {
		t.Helper()
		w := ask(remote, forwarded)
		if w.Code != 503 || w.Header().Get("Retry-After") != "10" || w.Header().Get("Connection") != "close" || !strings.Contains(w.Body.String(), "Try again in 10 seconds") {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	begin("192.0.2.1:5", "")
	refused("192.0.2.1:6", "")
	refused("10.0.0.1:5", "192.0.2.1")
	begin("10.0.0.1:6", "192.0.2.2")
	refused("10.0.0.2:5", "192.0.2.2")
	begin("10.0.0.1:7", "") // no limit for a proxy's own address
	refused("10.0.0.1:8", "")
	refused("192.0.2.4:5", "") // all together
	close(goOn)
	for range 3 {
		if status := <-done; status != 200 {
			t.Errorf("status %d", status)
		}
	}
	go func() { done <- ask("192.0.2.1:5", "").Code }()
	<-working
	if status := <-done; status != 200 {
		t.Errorf("afterwards: status %d", status)
	}
}

// from returns an open connection to a server from an address of this machine, which takes little unread data.
func from(t *testing.T, address string, server net.Addr) net.Conn {
	t.Helper()
	d := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)},
		Control: func(_, _ string, c syscall.RawConn) (err error) {
			if cerr := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) }); cerr != nil {
				return cerr
			}
			return err
		},
	}
	c, err := d.DialContext(t.Context(), "tcp", server.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// large is an answer whose body has largeSize bytes, which is more than sockets take.
var large = fmt.Sprintf(`{"statusCode":200,"body":%q}`, strings.Repeat("x", largeSize))

const largeSize = 5 << 20

func TestSlowReadersMakeRoomForOthers(t *testing.T) {
	server := httptest.NewServer(two(t, Limits{Requests: 10, RequestsEach: 10, Answers: 2 * largeSize}, always(large, nil)))
	defer server.Close()
	reader := func(address string) *http.Response {
		c := from(t, address, server.Listener.Addr())
		send(t, c, "GET /page HTTP/1.1\r\nHost: left4me\r\n\r\n")
		return read(t, c) // its header, so the answer is being sent
	}
	one, two, three := reader("127.0.0.2"), reader("127.0.0.3"), reader("127.0.0.4")
	for name, c := range map[string]struct {
		*http.Response
		whole bool
	}{"the first": {one, false}, "the second": {two, true}, "the third": {three, true}} {
		n, err := io.Copy(io.Discard, c.Body)
		if whole := n == largeSize && err == nil; whole != c.whole {
			t.Errorf("%s got %d bytes, %v", name, n, err)
		}
	}
}

func TestOnlyWorkKeepsAConnection(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	limits := Limits{Connections: 1, ConnectionsEach: 1, Requests: 1, RequestsEach: 1, Answers: 2 * largeSize}
	g := two(t, limits, answers(func(context.Context, string, string, []byte) (lambdahost.Answer, error) {
		begun <- struct{}{}
		<-goOn
		return lambdahost.Answer{Payload: []byte(large)}, nil
	}))
	l, stop, ended := serving(t, limits, g.ServeHTTP)
	ask := func() net.Conn {
		c := from(t, "127.0.0.1", l.Addr())
		send(t, c, "GET /page HTTP/1.1\r\nHost: left4me\r\n\r\n")
		return c
	}
	first := ask()
	<-begun
	wantClosed(t, ask())
	goOn <- struct{}{}
	resp := read(t, first)
	second := ask()
	<-begun // so the first connection has been closed
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("who had not read the answer got %d bytes", n)
	}
	goOn <- struct{}{}
	if n, err := io.Copy(io.Discard, read(t, second).Body); n != largeSize || err != nil {
		t.Errorf("the next one got %d bytes, %v", n, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestSlowUploadsMakeRoomForOthers(t *testing.T) {
	const size = 1000
	server := httptest.NewServer(two(t, Limits{Requests: 10, RequestsEach: 10, Uploads: 2 * 2 * size, Answers: 100}, always(`{"statusCode":200}`, nil)))
	t.Cleanup(server.Close) // after its connections
	upload := func(address, length string) (net.Conn, *bufio.Reader) {
		c := from(t, address, server.Listener.Addr())
		send(t, c, "POST /form HTTP/1.1\r\nHost: left4me\r\nExpect: 100-continue\r\n"+length+"\r\n\r\n")
		b := bufio.NewReader(c)
		if line, err := b.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // the body is being read
			t.Fatal(line, err)
		}
		if _, err := b.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		return c, b
	}
	status := func(b *bufio.Reader) int {
		resp, err := http.ReadResponse(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	length := fmt.Sprintf("Content-Length: %d", size)
	_, one := upload("127.0.0.2", length)
	twoConn, two := upload("127.0.0.3", length)
	threeConn, three := upload("127.0.0.4", length)
	if got := status(one); got != 400 {
		t.Errorf("the first: %d", got)
	}
	send(t, twoConn, strings.Repeat("x", size))
	if got := status(two); got != 200 {
		t.Errorf("the second: %d", got)
	}
	// A body of unknown length counts as the largest that the route allows, which is more than there is.
	c := from(t, "127.0.0.5", server.Listener.Addr())
	send(t, c, "POST /form HTTP/1.1\r\nHost: left4me\r\nTransfer-Encoding: chunked\r\n\r\n")
	if resp := read(t, c); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one of unknown length: %d", resp.StatusCode)
	}
	send(t, threeConn, strings.Repeat("x", size))
	if got := status(three); got != 200 {
		t.Errorf("the third: %d", got)
	}
}

// pipes is a listener whose connections are pipes in memory.
type pipes struct {
	connections chan net.Conn
	closed      context.Context
	close       func()
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.connections:
		return c, nil
	case <-p.closed.Done():
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { p.close(); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func TestSlowReadersAreWaitedForIfTheyReadOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{Connections: 10, ConnectionsEach: 10, Requests: 10, RequestsEach: 10, Answers: 2 * largeSize}
		closed, closeIt := context.WithCancel(t.Context())
		l := pipes{make(chan net.Conn), closed, closeIt}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- Serve(ctx, l, two(t, limits, always(large, nil)), limits, nil, time.Minute, slog.New(slog.DiscardHandler))
		}()
		reader := func() (net.Conn, *http.Response) {
			client, server := net.Pipe()
			l.connections <- server
			send(t, client, "GET /page HTTP/1.1\r\nHost: left4me\r\n\r\n")
			return client, read(t, client)
		}
		_, still := reader()
		c, steady := reader()
		n, err := int64(0), error(nil)
		for err == nil {
			var part int64
			part, err = io.CopyN(io.Discard, steady.Body, 2*sendRate)
			n += part
			time.Sleep(time.Second)
		}
		if n != largeSize || err != io.EOF {
			t.Errorf("who reads on got %d bytes, %v", n, err)
		}
		c.Close()
		time.Sleep(time.Hour)
		if n, err := io.Copy(io.Discard, still.Body); n > 64<<10 || err == nil {
			t.Errorf("who did not read for an hour got %d bytes, %v", n, err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
