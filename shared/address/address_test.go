package address_test

import (
	"net/netip"
	"testing"

	"left4me/shared/address"
)

func TestPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"23.45.67.89": true, "2a02:26f0::1": true, "64:ff9b::172d:4359": true, "::ffff:23.45.67.89": true,
		"127.0.0.1": false, "127.255.0.1": false, "::1": false, "10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.127.255.255": false, "0.0.0.0": false, "::": false,
		"224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false, "198.18.0.1": false, "192.0.2.1": false, "fe80::1": false,
		"fd00::1": false, "ff02::1": false, "::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false, "64:ff9b::7f00:1": false,
		"64:ff9b::a00:1": false, "2002:7f00:1::": false, "2001:0:1::": false, "2001:db8::1": false, "fec0::1": false, "::127.0.0.1": false,
	} {
		if got := address.Public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is public: %t", addr, got)
		}
	}
}
