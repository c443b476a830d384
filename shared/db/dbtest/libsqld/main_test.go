package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"left4me/shared/db"
	"left4me/shared/db/dbtest"
)

func TestServeAndTell(t *testing.T) {
	file := filepath.Join(t.TempDir(), "left4me.db")
	for round := range 2 {
		ctx, stop := context.WithCancel(t.Context())
		out, printed := io.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- run(ctx, printed, "--file", file, "--token", "secret") }()
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		url, ok := strings.CutPrefix(strings.TrimSpace(line), "DATABASE_URL=")
		if !ok {
			t.Fatalf("printed %s", line)
		}
		t.Setenv("DATABASE_URL", url)
		d, err := db.Open(url, "secret")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS t (a)"); err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), io.Discard, "tell", "drop after times=1 sql=INSERT"); err != nil {
			t.Fatal(err)
		}
		if _, err := d.ExecContext(t.Context(), "INSERT INTO t VALUES (1)"); !errors.Is(err, db.ErrInDoubt) {
			t.Errorf("got %v, want ErrInDoubt", err)
		}
		d.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		var n int
		if err := dbtest.Open(t, db.FileURL(file)).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t").Scan(&n); err != nil || n != round+1 {
			t.Errorf("%d rows in round %d, %v", n, round, err)
		}
	}
}

func TestErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "absent", "left4me.db")
	t.Setenv("DATABASE_URL", "")
	for want, args := range map[string][]string{
		"required flag(s) \"file\" not set": nil,
		"unable to open database file":      {"--file", missing},
		"DATABASE_URL is not set":           {"tell", "heal"},
		"missing port":                      {"--file", filepath.Join(t.TempDir(), "a.db"), "--listen", "here"},
	} {
		if err := run(t.Context(), io.Discard, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", args, err, want)
		}
	}
}

func run(ctx context.Context, out io.Writer, args ...string) error {
	c := command()
	c.SetArgs(args)
	c.SetOut(out)
	return c.ExecuteContext(ctx)
}
