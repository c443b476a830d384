package settings_test

import (
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"left4me/shared/settings"
)

func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct{ variable, want string }{
		"no setting at all":      {"PATH=/bin", ""},
		"another program's":      {"DATABASE_USER=anna", ""},
		"a setting":              {"LEFT4ME_LISTEN=:80", ""},
		"misspelled":             {"DATABASE_URI=file:/x", "DATABASE_URI is not a setting of left4me; is DATABASE_URL meant?"},
		"in small letters":       {"left4me_root=/srv", "left4me_root is not a setting of left4me; is LEFT4ME_ROOT meant?"},
		"unknown":                {"LEFT4ME_COLOUR=red", "LEFT4ME_COLOUR is not a setting of left4me; README.md lists them"},
		"empty":                  {"LEFT4ME_LISTN=", ""},
		"a token for a file":     {"DATABASE_AUTH_TOKEN=x", "DATABASE_AUTH_TOKEN has no effect, because DATABASE_URL is a file"},
		"a previous secret":      {"ORIGIN_SECRET_PREVIOUS=0123456789abcdef", "ORIGIN_SECRET_PREVIOUS has no effect on a host, only on AWS"},
		"a secret of CloudFront": {"ORIGIN_SECRET=0123456789abcdef", "ORIGIN_SECRET has no effect on a host, only on AWS"},
	} {
		s, err := load(nil)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if got := s.Warnings([]string{c.variable, "HOME=/"}); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	s, err := load(map[string]string{settings.DatabaseURL: "libsql://db.example.org"})
	if got := s.Warnings([]string{"DATABASE_AUTH_TOKEN=x"}); err != nil || len(got) != 0 {
		t.Errorf("a token for a server: %q, %v", got, err)
	}
}

// Load reads exactly the settings that the README lists, and none of them counts as misspelled.
func TestREADMEListsAllSettings(t *testing.T) {
	var read []string
	s, err := settings.Load(func(name string) string {
		read = append(read, name)
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Settings\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+) \\|").FindAllStringSubmatch(table, -1) {
		for _, name := range regexp.MustCompile("[A-Z0-9_]+").FindAllString(row[1], -1) {
			if !strings.HasPrefix(name, "SECRETS_") { // of package secret
				listed = append(listed, name)
			}
		}
	}
	slices.Sort(read)
	slices.Sort(listed)
	if read = slices.Compact(read); !slices.Equal(read, listed) {
		t.Errorf("Load reads %q\nREADME.md lists %q", read, listed)
	}
	for _, name := range read {
		if got := s.Warnings([]string{name + "=x"}); len(got) > 0 && strings.Contains(got[0], "is not a setting") {
			t.Error(got[0])
		}
	}
}

func TestWhereOtherMachinesOpenThePages(t *testing.T) {
	var local []net.Addr
	for _, address := range []string{"127.0.0.1/8", "192.168.1.5/24", "::1/128", "fe80::5/64", "2001:db8::5/64"} {
		ip, prefix, err := net.ParseCIDR(address)
		if err != nil {
			t.Fatal(err)
		}
		local = append(local, &net.IPNet{IP: ip, Mask: prefix.Mask})
	}
	for name, c := range map[string]struct {
		env     map[string]string
		anyHost bool
		want    string
	}{
		"this machine only":  {nil, false, ""},
		"by name":            {map[string]string{settings.Listen: "localhost:8080"}, false, ""},
		"over IPv6":          {map[string]string{settings.Listen: "[::1]:8080"}, false, ""},
		"one address":        {map[string]string{settings.Listen: "192.168.1.5:8080"}, true, ""}, // which is in PublicURL
		"all":                {map[string]string{settings.Listen: "0.0.0.0:8080"}, true, "http://192.168.1.5:8080 http://[2001:db8::5]:8080"},
		"all, written short": {map[string]string{settings.Listen: ":8080"}, true, "http://192.168.1.5:8080 http://[2001:db8::5]:8080"},
		"with PUBLIC_URL":    {map[string]string{settings.Listen: ":8080", settings.PublicURL: "http://cellar:8080"}, false, ""},
	} {
		s, err := load(c.env)
		if got := strings.Join(s.Elsewhere(local), " "); err != nil || s.AnyHost != c.anyHost || got != c.want {
			t.Errorf("%s: any host %t, at %q, %v; want %t, %q", name, s.AnyHost, got, err, c.anyHost, c.want)
		}
		// A function goes by the same rule as the gateway that has started it.
		env := map[string]string{}
		for _, variable := range s.Environ() {
			name, value, _ := strings.Cut(variable, "=")
			env[name] = value
		}
		if f, err := load(env); err != nil || f.AnyHost != c.anyHost || f.PublicURL.String() != s.PublicURL.String() {
			t.Errorf("%s: a function sees %t, %s, %v", name, f.AnyHost, f.PublicURL, err)
		}
	}
}
