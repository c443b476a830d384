package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// clientAddress is the address that r came from. It trusts no header.
func clientAddress(r *http.Request) string {
	if address, ok := parseAddress(r.RemoteAddr); ok {
		return address.String()
	}
	return r.RemoteAddr
}

// fromClient returns r as if it had come from the client directly, instead of by way of proxies whose addresses are trusted.
//
// Each proxy appends to X-Forwarded-For the address that it was asked from, behind whatever its client has said. So the
// list is read from its end, for as long as a trusted address vouches for what stands before it. The first address that is
// not trusted is the client's; what it says itself counts for nothing, as does everything before an entry that is no
// address. The header Forwarded (RFC 7239) is not read: the proxies that people run do not write it unless they are told to.
func fromClient(r *http.Request, trusted []netip.Prefix) *http.Request {
	client, ok := parseAddress(r.RemoteAddr)
	list := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, entry := range slices.Backward(list) {
		if !ok || !slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(client) }) {
			break
		}
		var before netip.Addr
		if before, ok = parseAddress(strings.TrimSpace(entry)); ok {
			client = before
		}
	}
	if !client.IsValid() {
		return r
	}
	direct := *r
	direct.RemoteAddr = net.JoinHostPort(client.String(), "0")
	return &direct
}

// parseAddress reads an address, with or without a port, an IPv6 one with or without brackets. An IPv4 address in IPv6's
// form is the IPv4 address, and a zone, which only the machine that wrote it understands, is left out.
func parseAddress(s string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	} else if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	address, err := netip.ParseAddr(s)
	return address.Unmap().WithZone(""), err == nil
}
