package db

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tursodatabase/libsql-client-go/libsql"
)

// A server that accepts a connection and then sends nothing, as after a network failure.
func TestASilentServerIsNotWaitedForForever(t *testing.T) {
	var asked atomic.Int64
	gone := make(chan struct{})
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		<-gone
	}))
	defer web.Close()
	defer close(gone)
	inner, err := libsql.NewConnector(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	d := sql.OpenDB(&serverConnector{Connector: inner, timeout: 300 * time.Millisecond})
	defer d.Close()
	err = d.QueryRowContext(t.Context(), "SELECT 1").Scan(new(int))
	if !IsAway(err) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrInDoubt) {
		t.Errorf("a read: %v", err)
	}
	if n := asked.Swap(0); n < 2 {
		t.Errorf("a read was sent %d times", n)
	}
	_, err = d.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	if !IsAway(err) || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrInDoubt) {
		t.Errorf("a write: %v", err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("a write was sent %d times", n)
	}
}

// The driver ends streams in the background with http.DefaultClient.
func TestOpeningAServerBoundsTheDefaultClient(t *testing.T) {
	d, err := Open("http://"+net.JoinHostPort("127.0.0.1", "1"), "")
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if http.DefaultClient.Timeout != serverTimeout {
		t.Errorf("it waits for %v", http.DefaultClient.Timeout)
	}
}
