package account

import "testing"

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7":              "192.0.2.7",
		"::ffff:192.0.2.7":       "192.0.2.7",
		"2001:db8:0:7::1":        "2001:db8:0:7::/64",
		"2001:db8:0:7:8000::":    "2001:db8:0:7::/64",
		"2001:db8:0:8::1":        "2001:db8:0:8::/64",
		"fe80::1%eth0":           "fe80::/64",
		"::1":                    "::/64",
		"":                       "",
		"@":                      "@",
		"2001:db8:0:7::1:99999":  "2001:db8:0:7::1:99999",
		"2001:db8::7, 192.0.2.7": "2001:db8::7, 192.0.2.7",
	} {
		if got := network(address); got != want {
			t.Errorf("network(%q) = %q, want %q", address, got, want)
		}
	}
}
