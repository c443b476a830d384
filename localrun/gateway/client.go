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

// warnOfProxy logs a warning, once, if r has an X-Forwarded-For from a peer that is not trusted: the peer may be a proxy, and then
// all its visitors have one address.
func (g *Gateway) warnOfProxy(r *http.Request) {
	if len(r.Header["X-Forwarded-For"]) == 0 {
		return
	}
	peer, ok := parseAddress(r.RemoteAddr)
	if ok && isTrusted(peer, g.cfg.TrustedProxies) {
		return
	}
	g.warned.Do(func() {
		g.cfg.Log.WarnContext(r.Context(), "X-Forwarded-For comes from an address that is not in TRUSTED_PROXIES: if it is a proxy's, all its visitors share that address, also when sign-ins are slowed down",
			"address", clientAddress(r))
	})
}

func isTrusted(address netip.Addr, trusted []netip.Prefix) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(address) })
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
		if !ok || !isTrusted(client, trusted) {
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
