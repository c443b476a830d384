package steam

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestParseHostsNamesTheFirstMistake(t *testing.T) {
	for setting, want := range map[string]string{
		"https://a.test":          `STEAM_CDN_HOSTS: "https://a.test" must be a host, without https:// and without a path`,
		"a.test, b.test/x":        `STEAM_CDN_HOSTS: "b.test/x" must be a host, without https:// and without a path`,
		"a.test:":                 `STEAM_CDN_HOSTS: "a.test:" must be a host or host:port with a port from 1 to 65535`,
		"a.test:0":                `STEAM_CDN_HOSTS: "a.test:0" must be a host or host:port with a port from 1 to 65535`,
		"a.test:65536":            `STEAM_CDN_HOSTS: "a.test:65536" must be a host or host:port with a port from 1 to 65535`,
		"a.test:http":             `STEAM_CDN_HOSTS: "a.test:http" must be a host or host:port with a port from 1 to 65535`,
		":80":                     `STEAM_CDN_HOSTS: ":80" is not the name of a host`,
		"*.com":                   `STEAM_CDN_HOSTS: "*.com" would allow a whole top-level domain`,
		"*":                       `STEAM_CDN_HOSTS: "*" is not the name of a host`,
		"a.*.test":                `STEAM_CDN_HOSTS: "a.*.test" is not the name of a host`,
		"*.127.0.0.1":             `STEAM_CDN_HOSTS: "*.127.0.0.1" must be a plain address`,
		"fe80::1%eth0":            `STEAM_CDN_HOSTS: "fe80::1%eth0" must be a plain address`,
		"2130706433":              `STEAM_CDN_HOSTS: "2130706433" is not the name of a host`,
		"127.1":                   `STEAM_CDN_HOSTS: "127.1" is not the name of a host`,
		"a..test":                 `STEAM_CDN_HOSTS: "a..test" is not the name of a host`,
		"-a.test":                 `STEAM_CDN_HOSTS: "-a.test" is not the name of a host`,
		"a.test;b.test":           `STEAM_CDN_HOSTS: "a.test;b.test" is not the name of a host`,
		"user@a.test":             `STEAM_CDN_HOSTS: "user@a.test" is not the name of a host`,
		strings.Repeat("a.", 150): `STEAM_CDN_HOSTS: "` + strings.Repeat("a.", 150) + `" is not the name of a host`,
	} {
		if _, err := ParseHosts(setting); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", setting, err, want)
		}
	}
}

func TestWhichLinksAreAllowed(t *testing.T) {
	for _, c := range []struct {
		setting, link string
		ok            bool
	}{
		{"", "https://cdn.steamusercontent.com/ugc/1/", true},
		{"", "https://CDN.SteamUserContent.com/ugc/1/", true},
		{"", "https://cloud-3.steamusercontent.com/ugc/1/", true},
		{"", "https://images.steamusercontent.com/ugc/1/", true},
		{"", "https://steamusercontent.com/ugc/1/", true},
		{"", "https://steamusercontent-a.akamaihd.net/ugc/1/", true},
		{"", "https://cdn.steamusercontent.com:443/ugc/1/", true},
		{"", "https://cdn.steamusercontent.com:8443/ugc/1/", false},
		{"", "http://cdn.steamusercontent.com/ugc/1/", false},
		{"", "http://cdn.steamusercontent.com:443/ugc/1/", false},
		{"", "https://x.steamusercontent-a.akamaihd.net/", false},
		{"", "https://evilsteamusercontent.com/", false},
		{"", "https://steamusercontent.com.evil.test/", false},
		{"", "https://127.0.0.1/", false},
		{"", "https://localhost/", false},
		{"a.test", "https://a.test/", true},
		{"a.test", "https://b.a.test/", false},
		{"a.test:8443", "https://a.test:8443/", true},
		{"a.test:8443", "https://a.test/", false},
		{"a.test:080", "http://a.test:80/", false},
		{"127.0.0.1:8000", "http://127.0.0.1:8000/", true},
		{"127.0.0.1:8000", "https://127.0.0.1:8000/", true},
		{"127.0.0.1:8000", "http://[::ffff:127.0.0.1]:8000/", true},
		{"127.0.0.1:8000", "http://127.0.0.1:8001/", false},
		{"127.0.0.1:8000", "http://127.0.0.1/", false},
		{"127.0.0.1", "http://127.0.0.1/", true},
		{"127.0.0.1", "http://127.0.0.2/", false},
		{"localhost", "http://localhost/", true},
		{"localhost:80", "http://LOCALHOST:80/", true},
		{"[::1]:8000", "http://[::1]:8000/", true},
		{"::1", "http://[0:0::1]/", true},
		{"[::1]", "http://[::1]/", true},
		{"10.0.0.5", "http://10.0.0.5/", false},
		{"10.0.0.5", "https://10.0.0.5/", true},
	} {
		u, err := url.Parse(c.link)
		if err != nil {
			t.Fatal(err)
		}
		if err := hosts(t, c.setting).checkURL(u); (err == nil) != c.ok {
			t.Errorf("%q with %q: %v", c.link, c.setting, err)
		}
	}
}

func TestWhichAddressesAreReached(t *testing.T) {
	for _, c := range []struct {
		setting, address string
		ok               bool
	}{
		{"", "23.45.67.89:443", true},
		{"", "127.0.0.1:443", false},
		{"127.0.0.1:8000", "127.0.0.1:8000", true},
		{"127.0.0.1:8000", "[::ffff:127.0.0.1]:8000", true},
		{"127.0.0.1:8000", "127.0.0.1:8001", false},
		{"127.0.0.1:8000", "127.0.0.2:8000", false},
		{"localhost:8000", "127.0.0.1:8000", true},
		{"localhost:8000", "[::1]:8000", true},
		{"localhost:8000", "10.0.0.1:8000", false},
		{"mirror.test", "10.0.0.5:443", false},
		{"mirror.test 10.0.0.5", "10.0.0.5:443", true},
		{"mirror.test 10.0.0.5", "10.0.0.5:22", false},
		{"", "no address", false},
	} {
		if err := hosts(t, c.setting).checkAddress(c.address); (err == nil) != c.ok {
			t.Errorf("%s with %q: %v", c.address, c.setting, err)
		}
	}
}

func TestOrigins(t *testing.T) {
	for setting, want := range map[string]string{
		"":                        "[https://steamusercontent.com https://*.steamusercontent.com https://steamusercontent-a.akamaihd.net]",
		"127.0.0.1:8000, [::1]:9": "[https://127.0.0.1:8000 http://127.0.0.1:8000 https://[::1]:9 http://[::1]:9]",
	} {
		if got := fmt.Sprint(hosts(t, setting).Origins()); got != want {
			t.Errorf("%q: %s", setting, got)
		}
	}
}
