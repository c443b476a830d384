package gateway

import (
	"container/list"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"left4me/shared/route"
)

// connections limits the open connections of a server: all together, and those of each client.
//
// A new connection above a limit replaces the one that has waited longest for its client to send a request or to receive the
// answer, if possible one whose last request had no session. A connection whose request is worked on stays. If there are only
// such, the new connection is closed.
type connections struct {
	most, mostEach int
	proxies        []netip.Prefix // to which mostEach does not apply
	log            *slog.Logger

	mu      sync.Mutex
	open    map[net.Conn]*connection
	each    map[netip.Prefix]int
	waiting list.List // of *connection, longest first
	warned  time.Time
}

// connection is a connection of a server. The mutex of all guards it.
type connection struct {
	net.Conn
	all     *connections
	client  netip.Prefix
	session bool          // whether the last request that was worked on had one
	place   *list.Element // in all.waiting; nil while a request is worked on
}

func newConnections(limits Limits, proxies []netip.Prefix, log *slog.Logger) *connections {
	return &connections{
		most: limits.Connections, mostEach: limits.ConnectionsEach, proxies: proxies, log: log,
		open: map[net.Conn]*connection{}, each: map[netip.Prefix]int{},
	}
}

// limit makes server, which does not serve yet, keep within the limits.
func (c *connections) limit(server *http.Server) {
	server.ConnContext = c.add
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		switch state {
		case http.StateIdle:
			c.idle(conn)
		case http.StateClosed:
			c.remove(conn)
		}
	}
}

type connectionKey struct{}

// add registers a new connection, and returns ctx with it, for keepConnection. If there are too many connections, of this client or of
// all, it first closes one that waits for its client's next request; if none does, it closes the new one and returns ctx as it is.
func (c *connections) add(ctx context.Context, conn net.Conn) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	client := limitedClient(conn.RemoteAddr().String(), c.proxies)
	if client.IsValid() && c.each[client] >= c.mostEach && !c.closeOne(func(o *connection) bool { return o.client == client }) ||
		len(c.open) >= c.most && !c.closeOne(func(*connection) bool { return true }) {
		conn.Close()
		return ctx
	}
	added := &connection{Conn: conn, all: c, client: client}
	added.place = c.waiting.PushBack(added)
	c.open[conn] = added
	c.each[client]++
	return context.WithValue(ctx, connectionKey{}, added)
}

// closeOne makes room by closing one of the waiting connections that match. It reports whether there was one.
func (c *connections) closeOne(match func(*connection) bool) bool {
	if now := time.Now(); now.Sub(c.warned) > time.Minute {
		c.warned = now
		c.log.Warn("too many connections: those that have waited longest for their client are closed", "open", len(c.open))
	}
	var chosen *connection
	for e := c.waiting.Front(); e != nil && (chosen == nil || chosen.session); e = e.Next() {
		if o := e.Value.(*connection); match(o) && (chosen == nil || !o.session) {
			chosen = o
		}
	}
	if chosen == nil {
		return false
	}
	chosen.Close()
	c.forget(chosen)
	return true
}

// keepConnection keeps the connection of r, which is worked on now, until letGo is called.
func keepConnection(r *http.Request) (letGo func()) {
	o, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok { // r is not from Serve
		return func() {}
	}
	c := o.all
	c.mu.Lock()
	defer c.mu.Unlock()
	o.session = hasSession(r)
	if o.place != nil {
		c.waiting.Remove(o.place)
		o.place = nil
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open[o.Conn] == o {
			o.place = c.waiting.PushBack(o)
		}
	}
}

// idle says that the client has received all answers.
func (c *connections) idle(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.open[conn]; o != nil {
		c.waiting.MoveToBack(o.place)
	}
}

// remove says that a connection has been closed.
func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o := c.open[conn]; o != nil {
		c.forget(o)
	}
}

func (c *connections) forget(o *connection) {
	if o.place != nil {
		c.waiting.Remove(o.place)
		o.place = nil
	}
	delete(c.open, o.Conn)
	if c.each[o.client]--; c.each[o.client] == 0 {
		delete(c.each, o.client)
	}
}

// count returns the number of open connections.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// hasSession reports whether r has the cookie of a session, valid or not.
func hasSession(r *http.Request) bool {
	for _, cookie := range r.Cookies() {
		if strings.TrimPrefix(cookie.Name, route.SecureCookiePrefix) == route.SessionCookie {
			return true
		}
	}
	return false
}
