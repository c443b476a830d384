package steam_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"left4me/shared/steam"
)

func TestKindsOfErrors(t *testing.T) {
	for want, err := range map[string]error{
		"http_429":    &steam.StatusError{Code: 429},
		"html":        &steam.HTMLError{},
		"answer":      &steam.AnswerError{},
		"refused":     &steam.RefusedError{},
		"stalled":     &steam.StalledError{},
		"range":       &steam.RangeError{},
		"unreachable": &steam.UnreachableError{Err: &net.OpError{Op: "dial", Err: errors.New("refused")}},
		"broken":      &net.OpError{Op: "read", Err: errors.New("reset")},
		"other":       context.DeadlineExceeded,
	} {
		if got := steam.Kind(fmt.Errorf("item 101: %w", err)); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
	if got := steam.Kind(fmt.Errorf("cut off: %w", io.ErrUnexpectedEOF)); got != "broken" {
		t.Errorf("a connection that was cut off is %s", got)
	}
}
