package gateway

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"left4me/shared/route"
)

// fake is a connection that has an address and can be closed. ctx is that of its requests.
type fake struct {
	net.Conn
	address string
	closed  bool
	ctx     context.Context
}

func (f *fake) RemoteAddr() net.Addr { return f }
func (f *fake) Network() string      { return "tcp" }
func (f *fake) String() string       { return f.address }
func (f *fake) Close() error         { f.closed = true; return nil }

// world opens connections.
type world struct {
	t *testing.T
	*connections
}

func newWorld(t *testing.T, limits Limits, proxies ...netip.Prefix) world {
	return world{t, newConnections(limits, proxies, slog.New(slog.DiscardHandler))}
}

func (w world) connect(address string) *fake {
	f := &fake{address: address}
	f.ctx = w.add(w.t.Context(), f)
	return f
}

// begin begins the work on a request that has the cookie, unless it is empty. The work ends with letGo.
func (w world) begin(f *fake, cookie string) (letGo func()) {
	r, err := http.NewRequestWithContext(f.ctx, "GET", "/", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: cookie, Value: "1"})
	}
	return keepConnection(r)
}

func (w world) expect(f *fake, closed bool, what string) {
	w.t.Helper()
	if f.closed != closed {
		w.t.Errorf("%s: closed is %v", what, f.closed)
	}
}

func TestWhichConnectionMakesRoom(t *testing.T) {
	w := newWorld(t, Limits{Connections: 6, ConnectionsEach: 6})
	working, member, secure := w.connect("192.0.2.1:1"), w.connect("192.0.2.1:2"), w.connect("192.0.2.1:3")
	visitor, silent, idle := w.connect("192.0.2.1:4"), w.connect("192.0.2.1:5"), w.connect("192.0.2.1:6")
	workDone := w.begin(working, "")
	w.begin(member, route.SessionCookie)()
	w.begin(secure, route.SecureCookiePrefix+route.SessionCookie)()
	w.begin(idle, "")()
	w.begin(visitor, "another")()
	w.idle(idle) // it has received its answer, unlike the visitor
	for _, next := range []struct {
		*fake
		what string
	}{
		{silent, "one without a request, which has waited longest of those without a session"},
		{visitor, "one without a session that receives its answer"},
		{idle, "one without a session"},
		{member, "one with a session, which has waited longest"},
		{secure, "the last one with a session"},
	} {
		w.expect(next.fake, false, next.what)
		w.begin(w.connect("192.0.2.2:1"), "")
		w.expect(next.fake, true, next.what)
	}
	w.expect(w.connect("192.0.2.2:2"), true, "a new one while all others are worked on")
	w.expect(working, false, "one that is worked on")
	workDone()
	w.remove(working)
	w.expect(w.connect("192.0.2.2:3"), false, "a new one when there is room")
	// net/http also reports a connection as closed after add has closed it, possibly while its last request is still handled.
	memberDone := w.begin(member, "")
	w.remove(member)
	memberDone()
	w.idle(member)
	if w.count() != 6 || w.waiting.Len() != 1 || w.each[anna] != 0 || w.each[bert] != 6 {
		t.Errorf("%d are open, %d wait: %v", w.count(), w.waiting.Len(), w.each)
	}
}

func TestAClientUsesUpOnlyItsOwnConnections(t *testing.T) {
	w := newWorld(t, Limits{Connections: 100, ConnectionsEach: 2}, netip.MustParsePrefix("10.0.0.0/8"))
	other := w.connect("192.0.2.2:1")
	first, second := w.connect("[2001:db8::1]:1"), w.connect("[2001:db8::2]:1")
	w.begin(first, "")()
	w.expect(w.connect("[2001:db8::3]:1"), false, "the client's third connection")
	w.expect(second, true, "the one that has waited longest")
	w.expect(first, false, "its first one")
	w.expect(w.connect("[2001:db8:0:1::1]:1"), false, "the first one of another network")
	for range 10 {
		w.expect(w.connect("10.0.0.1:1"), false, "a proxy's")
	}
	for range 2 {
		w.begin(w.connect("192.0.2.1:1"), "")
	}
	w.expect(w.connect("192.0.2.1:2"), true, "the third connection of a client whose others are worked on")
	w.expect(other, false, "another client's")
}

// working is a handler that says when it works on a request, and waits for goOn.
func working(begun chan<- struct{}, goOn <-chan struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			return
		}
		defer keepConnection(r)()
		begun <- struct{}{}
		<-goOn
	}
}

func TestAServerClosesConnectionsThatWait(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	l, stop, ended := serving(t, Limits{Connections: 2, ConnectionsEach: 2}, working(begun, goOn))
	one := connect(t, l, whole)
	<-begun
	silent := connect(t, l, "")
	half := connect(t, l, whole[:10])
	wantClosed(t, silent)
	upload := connect(t, l, "POST / HTTP/1.1\r\nHost: left4me\r\nContent-Length: 5\r\n\r\nhalf")
	wantClosed(t, half)
	two := connect(t, l, whole)
	wantClosed(t, upload)
	<-begun
	wantClosed(t, connect(t, l, whole)) // both are worked on
	close(goOn)
	wantStatus(t, one, 200)
	wantStatus(t, two, 200)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAServerKnowsWhichConnectionsAreIdle(t *testing.T) {
	begun, goOn := make(chan struct{}, 10), make(chan struct{})
	close(goOn)
	open := newConnections(Limits{Connections: 2, ConnectionsEach: 2}, nil, slog.New(slog.DiscardHandler))
	server := httptest.NewUnstartedServer(working(begun, goOn))
	open.limit(server.Config)
	idle, changed := make(chan struct{}), server.Config.ConnState
	server.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if changed(c, state); state == http.StateIdle {
			idle <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	l := &watched{Listener: server.Listener}
	ask := func(c net.Conn) {
		if _, err := io.WriteString(c, whole); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, c, 200)
		<-idle
	}
	one, two := connect(t, l, ""), connect(t, l, "")
	ask(two)
	ask(one)
	three := connect(t, l, "")
	wantClosed(t, two)
	ask(three)
	ask(one)
}

func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if b, err := bufio.NewReader(c).ReadByte(); err == nil {
		t.Errorf("got %q, want the end", b)
	}
}
