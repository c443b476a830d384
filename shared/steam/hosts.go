package steam

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"left4me/shared/address"
)

// DefaultHosts is the value of STEAM_CDN_HOSTS when it is not set: where Steam's `file_url` and `preview_url` point
// (steam.md, Content).
const DefaultHosts = "*.steamusercontent.com steamusercontent-a.akamaihd.net"

// Hosts are the hosts from which content may be downloaded. The zero value allows none.
type Hosts struct {
	entries []hostEntry
}

type hostEntry struct {
	// name is lower-case, without port and brackets.
	name string
	// below is true for `*.name`: name and every host below it.
	below bool
	// addr is valid when name is an IP address.
	addr netip.Addr
	// port is empty for the standard port of the scheme.
	port string
}

// isName reports whether s is a lower-case host name: labels of letters, digits, hyphens and underscores, the last one without
// underscores. The last label starts with a letter: forms such as `127.1` or `2130706433`, which some resolvers take for
// addresses, are not names. (Compiling a regular expression would slow down the start of every program.)
func isName(s string) bool {
	const alphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789"
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if len(l) < 1 || len(l) > 63 || strings.Trim(l, alphanumeric+"-_") != "" || l[0] == '-' || len(l) > 1 && strings.ContainsAny(l[len(l)-1:], "-_") {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(s) <= 253 && last[0] >= 'a' && last[0] <= 'z' && !strings.Contains(last, "_")
}

// ParseHosts reads the setting STEAM_CDN_HOSTS: hosts separated by commas or white space, each `name`, `name:port`,
// `*.name` (the name and everything below it) or an IP address, with brackets around an IPv6 one that has a port. An
// empty setting means DefaultHosts. The error is one sentence that names the first value that was not understood.
//
// A host without a port means the standard port of its scheme. Only loopback hosts (`localhost`, 127.0.0.0/8, ::1) may be
// reached by plain http. An address that is not public may be reached only if the setting has that address itself, not only a
// name that leads to it.
func ParseHosts(setting string) (Hosts, error) {
	words := strings.FieldsFunc(setting, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	if len(words) == 0 {
		words = strings.Fields(DefaultHosts)
	}
	var hosts Hosts
	for _, word := range words {
		e, err := parseHost(word)
		if err != nil {
			return Hosts{}, fmt.Errorf("STEAM_CDN_HOSTS: %q %w", word, err)
		}
		hosts.entries = append(hosts.entries, e)
	}
	return hosts, nil
}

func parseHost(word string) (hostEntry, error) {
	if strings.Contains(word, "/") {
		return hostEntry{}, fmt.Errorf("must be a host, without https:// and without a path")
	}
	var e hostEntry
	name := strings.ToLower(word)
	name, e.below = strings.CutPrefix(name, "*.")
	if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		e.addr = addr
	} else if strings.Contains(name, ":") {
		host, port, err := net.SplitHostPort(name)
		n, perr := strconv.ParseUint(port, 10, 16)
		if err != nil || perr != nil || n == 0 {
			return hostEntry{}, fmt.Errorf("must be a host or host:port with a port from 1 to 65535")
		}
		name, e.port = host, strconv.FormatUint(n, 10)
		if addr, err := netip.ParseAddr(host); err == nil {
			e.addr = addr
		}
	}
	if e.addr.IsValid() {
		if e.below || e.addr.Zone() != "" {
			return hostEntry{}, fmt.Errorf("must be a plain address")
		}
		e.addr = e.addr.Unmap()
		e.name = e.addr.String()
		return e, nil
	}
	if !isName(name) {
		return hostEntry{}, fmt.Errorf("is not the name of a host")
	}
	if e.below && !strings.Contains(name, ".") {
		return hostEntry{}, fmt.Errorf("would allow a whole top-level domain")
	}
	e.name = name
	return e, nil
}

func (e hostEntry) loopback() bool { return e.name == "localhost" || e.addr.IsLoopback() }

// portIs reports whether the entry allows a port.
func (e hostEntry) portIs(port string) bool {
	return e.port == port || e.port == "" && (port == "443" || port == "80" && e.loopback())
}

// find returns the entry that allows host (lower-case, no brackets) at port.
func (h Hosts) find(host, port string) (hostEntry, bool) {
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.Unmap().String()
	}
	i := slices.IndexFunc(h.entries, func(e hostEntry) bool {
		return e.portIs(port) && (host == e.name || e.below && strings.HasSuffix(host, "."+e.name))
	})
	if i < 0 {
		return hostEntry{}, false
	}
	return h.entries[i], true
}

// checkURL returns a *RefusedError for a link that must not be followed.
func (h Hosts) checkURL(u *url.URL) error {
	refuse := func(reason string) error { return &RefusedError{Host: u.Host, Reason: reason} }
	port := u.Port()
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return refuse("the link is neither https nor http")
	case u.User != nil:
		return refuse("the link carries a user name")
	case port == "" && u.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	e, ok := h.find(strings.ToLower(u.Hostname()), port)
	switch {
	case !ok:
		return refuse("it is not one of the hosts that files may come from (STEAM_CDN_HOSTS)")
	case u.Scheme == "http" && !e.loopback():
		return refuse("plain http is only for loopback hosts, this needs https")
	}
	return nil
}

// checkAddress returns a *RefusedError for an address that is not public, unless the setting names it. hostPort is an IP address
// and a port, just before connecting to it.
func (h Hosts) checkAddress(hostPort string) error {
	ap, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return &RefusedError{Host: hostPort, Reason: "it is not an IP address and a port"}
	}
	addr := ap.Addr().Unmap()
	if address.Public(addr) {
		return nil
	}
	port := strconv.Itoa(int(ap.Port()))
	for _, e := range h.entries {
		if e.portIs(port) && (e.addr == addr || e.name == "localhost" && addr.IsLoopback()) {
			return nil
		}
	}
	return &RefusedError{Host: hostPort, Reason: "the address is not a public one and STEAM_CDN_HOSTS does not name it"}
}

// Origins are the hosts as sources of a Content-Security-Policy, for pages that show preview pictures.
func (h Hosts) Origins() []string {
	var origins []string
	for _, e := range h.entries {
		host := e.name
		if e.addr.Is6() {
			host = "[" + host + "]"
		}
		if e.port != "" {
			host += ":" + e.port
		}
		origins = append(origins, "https://"+host)
		if e.below {
			origins = append(origins, "https://*."+host)
		}
		if e.loopback() {
			origins = append(origins, "http://"+host)
		}
	}
	return origins
}
