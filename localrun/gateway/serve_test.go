package gateway

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// watched is a listener that says what happens to it.
type watched struct {
	net.Listener
	accepted chan struct{}
	closed   chan struct{}
	once     sync.Once
}

func (w *watched) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err == nil {
		w.accepted <- struct{}{}
	}
	return c, err
}

func (w *watched) Close() error {
	err := w.Listener.Close()
	w.once.Do(func() { close(w.closed) })
	return err
}

// serving runs Serve until stop is called; ended gives what it returned.
func serving(t *testing.T, limits Limits, handler http.HandlerFunc) (l *watched, stop func(), ended chan error) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = &watched{Listener: inner, accepted: make(chan struct{}, 10), closed: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	ended = make(chan error, 1)
	go func() { ended <- Serve(ctx, l, handler, limits, nil, time.Minute, slog.New(slog.DiscardHandler)) }()
	return l, stop, ended
}

func connect(t *testing.T, l *watched, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c
}

func wantStatus(t *testing.T, c net.Conn, status int) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != status {
		t.Fatalf("status %d, want %d", resp.StatusCode, status)
	}
}

const whole = "GET / HTTP/1.1\r\nHost: left4me\r\n\r\n"

func TestWhatHasBegunIsAnsweredBeforeTheEnd(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	l, stop, ended := serving(t, Limits{Connections: 10, ConnectionsEach: 10}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(begun)
			<-goOn
		}
		w.WriteHeader(http.StatusTeapot)
	})
	slow := connect(t, l, "GET /slow HTTP/1.1\r\nHost: left4me\r\n\r\n")
	<-begun
	idle := connect(t, l, whole)
	wantStatus(t, idle, http.StatusTeapot)
	partial := connect(t, l, whole[:10])
	for range 3 {
		<-l.accepted
	}
	stop()
	<-l.closed
	if _, err := io.WriteString(partial, whole[10:]); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, partial, http.StatusTeapot)
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("a new connection was taken after the end had begun")
	}
	close(goOn)
	wantStatus(t, slow, http.StatusTeapot)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("an idle connection gave %v, want its end", err)
	}
}

func TestAServerThatCannotAcceptSaysSo(t *testing.T) {
	l, stop, ended := serving(t, Limits{Connections: 10, ConnectionsEach: 10}, func(http.ResponseWriter, *http.Request) {})
	defer stop()
	l.Listener.Close()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
}
