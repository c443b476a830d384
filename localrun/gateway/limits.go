package gateway

import (
	"container/list"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// Limits keep a few clients from using all connections and all memory. A client is an IPv4 address or the /64 network of an IPv6
// address. The limits of each client do not apply to trusted proxies, but to the clients behind them.
type Limits struct {
	// Connections is how many connections may be open, and ConnectionsEach how many of them one client may have.
	Connections, ConnectionsEach int
	// Requests is how many requests may be worked on, from their arrival to their answer, and RequestsEach how many of them may be
	// one client's. They must be less than the numbers of connections, so that the next request can arrive, and be refused with a
	// page.
	Requests, RequestsEach int
	// Uploads and Answers are how many bytes of requests and of answers may be in memory, because their clients have not sent or
	// received all of them. There must be room for the largest request, and for the largest answer.
	Uploads, Answers int64
}

const (
	// maxConnections take about 40 MiB if all of them are idle.
	maxConnections = 2048
	// otherFiles is how many files the database, the functions' pipes and the Runtime API may need.
	otherFiles = 256
)

// DefaultLimits returns limits for a host with 1 GiB of memory, within this process's limit of open files.
func DefaultLimits() Limits {
	connections := maxConnections
	// The Go runtime has raised the soft limit to the hard limit.
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil && files.Cur < maxConnections+otherFiles {
		connections = int(files.Cur) - min(otherFiles, int(files.Cur)/2)
	}
	return Limits{
		Connections: connections, ConnectionsEach: 128,
		Requests: connections * 3 / 4, RequestsEach: 32,
		Uploads: 16 << 20, Answers: 32 << 20,
	}
}

// limitedClient returns the client at a remote address. It is the zero Prefix, to which no limit of a client applies, if the
// address is a trusted proxy's or no IP address.
func limitedClient(remote string, trusted []netip.Prefix) netip.Prefix {
	address, ok := parseAddress(remote)
	if !ok || isTrusted(address, trusted) {
		return netip.Prefix{}
	}
	bits := 32
	if address.Is6() {
		bits = 64
	}
	client, _ := address.Prefix(bits) // fails only for a wrong number of bits
	return client
}

// requests limits how many requests are worked on.
type requests struct {
	most, mostEach int

	mu   sync.Mutex
	all  int
	each map[netip.Prefix]int
}

// begin reports whether another request of client may be worked on. Then the caller must call end when it is done.
func (q *requests) begin(client netip.Prefix) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all >= q.most || client.IsValid() && q.each[client] >= q.mostEach {
		return false
	}
	q.all++
	q.each[client]++
	return true
}

func (q *requests) end(client netip.Prefix) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all--
	if q.each[client]--; q.each[client] == 0 {
		delete(q.each, client)
	}
}

// memory limits the bytes that are kept for clients.
type memory struct {
	most int64

	mu    sync.Mutex
	used  int64
	parts list.List // of *part, oldest first
}

// part is a part of the memory that is in use.
type part struct {
	memory *memory
	client netip.Prefix
	size   int64
	drop   func()        // nil if the part is needed until its end
	place  *list.Element // nil after the end
}

// take reserves size bytes for client, which the caller must release. If there is not enough memory left, it drops parts of others, or of
// client, until there is: each time the oldest part of the client that uses most. It returns nil, and drops nothing, if dropping all would
// not suffice. take may later drop the new part in the same way, by calling drop, unless that is nil. drop must return at once, and the
// caller must then stop using the part soon.
func (m *memory) take(client netip.Prefix, size int64, drop func()) *part {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.used+size > m.most {
		p, all := m.droppable()
		if m.used-all+size > m.most {
			return nil
		}
		p.drop()
		m.remove(p)
	}
	p := &part{memory: m, client: client, size: size, drop: drop}
	p.place = m.parts.PushBack(p)
	m.used += size
	return p
}

// droppable returns the part that take drops next, if there is one, and the size of all that it may drop.
func (m *memory) droppable() (next *part, all int64) {
	var parts []*part
	sizes := map[netip.Prefix]int64{}
	for e := m.parts.Front(); e != nil; e = e.Next() {
		if p := e.Value.(*part); p.drop != nil {
			parts = append(parts, p)
			sizes[p.client] += p.size
			all += p.size
		}
	}
	for _, p := range parts {
		if next == nil || sizes[p.client] > sizes[next.client] {
			next = p
		}
	}
	return next, all
}

// keep says that p must not be dropped any more. It reports whether p has not been dropped already.
func (p *part) keep() bool {
	p.memory.mu.Lock()
	defer p.memory.mu.Unlock()
	p.drop = nil
	return p.place != nil
}

// release says that p is not needed any more. It may be called several times.
func (p *part) release() {
	p.memory.mu.Lock()
	defer p.memory.mu.Unlock()
	p.memory.remove(p)
}

func (m *memory) remove(p *part) {
	if p.place != nil {
		m.parts.Remove(p.place)
		p.place = nil
		m.used -= p.size
	}
}
