package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddress returns the IP address in r.RemoteAddr. It reads no header.
func clientAddress(r *http.Request) string {
	if address, ok := parseAddress(r.RemoteAddr); ok {
		return address.String()
	}
	return r.RemoteAddr
}

// fromClient returns r with the address of the client instead of that of a trusted proxy.
//
// Each proxy appends the address of its own client to X-Forwarded-For, which may already have entries from that client. So the
// list is read from its end, while the addresses are trusted. The first address that is not trusted is the client's. Entries
// before it, or before an entry that is not an address, are ignored. The header Forwarded (RFC 7239) is not read, because
// common proxies do not set it by default.
func fromClient(r *http.Request, trusted []netip.Prefix) *http.Request {
	client, ok := parseAddress(r.RemoteAddr)
	list := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, entry := range slices.Backward(list) {
		if !ok || !slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(client) }) {
			break
		}
		var previous netip.Addr
		if previous, ok = parseAddress(strings.TrimSpace(entry)); ok {
			client = previous
		}
	}
	if !client.IsValid() {
		return r
	}
	direct := *r
	direct.RemoteAddr = net.JoinHostPort(client.String(), "0")
	return &direct
}

// parseAddress parses an IP address with an optional port. An IPv6 address may have brackets. IPv4-mapped addresses become
// IPv4 addresses, and zones, which have a meaning only on one machine, are removed.
func parseAddress(s string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	} else if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	address, err := netip.ParseAddr(s)
	return address.Unmap().WithZone(""), err == nil
}
