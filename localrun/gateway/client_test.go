package gateway

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestTheClientIsWhoTheTrustedProxiesSay(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}
	for name, c := range map[string]struct {
		peer  string
		lines []string
		want  string
	}{
		"nobody said anything":               {"127.0.0.1:5", nil, "127.0.0.1"},
		"a client":                           {"127.0.0.1:5", []string{"203.0.113.7"}, "203.0.113.7"},
		"a stranger says something":          {"198.51.100.1:5", []string{"203.0.113.7"}, "198.51.100.1"},
		"a client says something":            {"127.0.0.1:5", []string{"192.0.2.1, 203.0.113.7"}, "203.0.113.7"},
		"a client pretends to be a proxy":    {"127.0.0.1:5", []string{"192.0.2.1, 10.0.0.1, 203.0.113.7"}, "203.0.113.7"},
		"a chain of proxies":                 {"127.0.0.1:5", []string{"192.0.2.1, 203.0.113.7, 10.1.2.3,10.0.0.1"}, "203.0.113.7"},
		"several lines":                      {"127.0.0.1:5", []string{"192.0.2.1", "203.0.113.7", "10.0.0.1"}, "203.0.113.7"},
		"a client on a proxy":                {"127.0.0.1:5", []string{"10.0.0.1, 10.0.0.2"}, "10.0.0.1"},
		"a port":                             {"127.0.0.1:5", []string{"192.0.2.1, 203.0.113.7:443"}, "203.0.113.7"},
		"IPv6":                               {"127.0.0.1:5", []string{"2001:db8::7"}, "2001:db8::7"},
		"IPv6 in brackets":                   {"127.0.0.1:5", []string{"[2001:db8::7]"}, "2001:db8::7"},
		"IPv6 with a port":                   {"127.0.0.1:5", []string{"[2001:DB8:0:0::7]:443"}, "2001:db8::7"},
		"IPv6 with a zone":                   {"127.0.0.1:5", []string{"fe80::1%eth0"}, "fe80::1"},
		"IPv6 proxies":                       {"[2001:db8:1::1%eth0]:5", []string{"203.0.113.7, [2001:db8:1::2]:80"}, "203.0.113.7"},
		"IPv4 in IPv6's form":                {"[::ffff:127.0.0.1]:5", []string{"::ffff:203.0.113.7, ::ffff:10.0.0.1"}, "203.0.113.7"},
		"no address at the end":              {"127.0.0.1:5", []string{"203.0.113.7, unknown"}, "127.0.0.1"},
		"no address between":                 {"127.0.0.1:5", []string{"203.0.113.7, _hidden, 10.0.0.1"}, "10.0.0.1"},
		"nothing between":                    {"127.0.0.1:5", []string{"203.0.113.7, , 10.0.0.1"}, "10.0.0.1"},
		"an empty line":                      {"127.0.0.1:5", []string{"203.0.113.7", ""}, "127.0.0.1"},
		"half a bracket":                     {"127.0.0.1:5", []string{"[2001:db8::7"}, "127.0.0.1"},
		"a name":                             {"127.0.0.1:5", []string{"localhost"}, "127.0.0.1"},
		"far too long":                       {"127.0.0.1:5", []string{strings.Repeat("1.", 1000)}, "127.0.0.1"},
		"a client says what is no address":   {"127.0.0.1:5", []string{"<script>, 203.0.113.7"}, "203.0.113.7"},
		"a peer that has no address at all":  {"@", []string{"203.0.113.7"}, "@"},
		"a peer whose address has no port":   {"127.0.0.1", []string{"203.0.113.7"}, "203.0.113.7"},
		"an octal number is no address":      {"127.0.0.1:5", []string{"203.0.113.007"}, "127.0.0.1"},
		"a semicolon does not separate them": {"127.0.0.1:5", []string{"203.0.113.7;10.0.0.1"}, "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: c.peer, Header: http.Header{
				"X-Forwarded-For": c.lines,
				"Forwarded":       {"for=192.0.2.99"},
				"X-Real-Ip":       {"192.0.2.99"},
			}}
			if got := clientAddress(fromClient(r, trusted)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if r.RemoteAddr != c.peer {
				t.Error("the server's own request was changed")
			}
		})
	}
}
