// Package address tells which IP addresses are public, for clients that strangers give URLs to. Such a client checks the address that it is
// about to connect to: a check of the name before that says nothing, because the name can lead to another address a moment later.
package address

import (
	"net/netip"
	"slices"
)

// special are the blocks of IANA's special-purpose registries that netip has no method for.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	netip.MustParsePrefix("::/96"),           // IPv4-compatible, deprecated
	netip.MustParsePrefix("64:ff9b:1::/48"),  // local NAT64
	netip.MustParsePrefix("100::/64"),        // discard
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4, which can wrap any IPv4 address
	netip.MustParsePrefix("fec0::/10"),       // site-local, deprecated
}

var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// Public reports whether addr is on the public internet. An address with NAT64's prefix is judged by its IPv4 address.
func Public(addr netip.Addr) bool {
	addr = addr.Unmap()
	if nat64.Contains(addr) {
		wrapped := addr.As16()
		addr = netip.AddrFrom4([4]byte(wrapped[12:]))
	}
	return addr.IsGlobalUnicast() && !addr.IsPrivate() &&
		!slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(addr) })
}
