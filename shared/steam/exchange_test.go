package steam

import (
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"

	"left4me/shared/steam/steamtest"
)

// The errors of single requests over real sockets. Retries are tested with a fake clock.
func TestErrorsOfBrokenConnections(t *testing.T) {
	fake := steamtest.Start(t, "api cut=30")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	nobody := listener.Addr().String()
	for base, want := range map[string]string{
		fake.URL:           "cannot reach steam: unexpected EOF",
		"http://" + nobody: "cannot reach steam: dial tcp " + nobody + ": connect: connection refused",
	} {
		c := NewClient(base, slog.New(slog.DiscardHandler))
		form := url.Values{"itemcount": {"1"}, "publishedfileids[0]": {"1"}}
		_, err := c.exchange(t.Context(), base+"/ISteamRemoteStorage/GetPublishedFileDetails/v1/", form)
		if _, ok := err.(*UnreachableError); !ok || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
