// Command starts measures how fast built functions start (`make starts`). For each program in a directory it prints the size,
// the time from the start of its process to its first request for an event and to its first answer, and the ratios of both to
// those of a minimal function.
//
//	starts DIR          functions with the embedded database, using a file
//	starts -server DIR  functions built without it, using a libSQL test server in this process
//
// It has its own Runtime API, because localrun/lambdahost does not measure the two times separately. It measures the minimal
// function between any two programs, so that other work on the machine slows down both. The figures are medians.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/dbtest"
	"left4me/shared/db/migrations"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/overlay"
	"left4me/shared/route"
)

func main() {
	server := flag.Bool("server", false, "give the functions a libSQL server instead of a file")
	runs := flag.Int("runs", 40, "how often each program is started")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: starts [-server] [-runs N] DIR")
		os.Exit(2)
	}
	if err := run(context.Background(), flag.Arg(0), *server, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "starts:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, server bool, runs int) error {
	scratch, err := os.MkdirTemp("", "starts")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	minimal := filepath.Join(scratch, "minimal")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", minimal, "left4me/infra/starts/minimal")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the minimal function: %w\n%s", err, out)
	}
	file := filepath.Join(scratch, "left4me.db")
	d, err := db.Open(db.FileURL(file), "")
	if err != nil {
		return err
	}
	defer d.Close() // stays open, as in localrun, because the first process to open the database has more work
	session, err := fill(ctx, d)
	if err != nil {
		return err
	}
	env := []string{"LEFT4ME_ROOT=" + scratch}
	if server {
		s, err := dbtest.NewServer(file)
		if err != nil {
			return err
		}
		defer s.Close()
		web := httptest.NewServer(s)
		defer web.Close()
		env = append(env, "DATABASE_URL="+web.URL)
	}
	events, err := events(session)
	if err != nil {
		return err
	}
	return measure(minimal, dir, env, events, runs)
}

// fill migrates the database and adds an administrator and an overlay. It returns the token of the administrator's session.
func fill(ctx context.Context, d *db.DB) (string, error) {
	if _, err := migrations.Up(ctx, d); err != nil {
		return "", err
	}
	accounts := account.NewStore(d, time.Now)
	password := account.RandomPassword()
	if _, err := accounts.Create(ctx, "admin", password, true); err != nil {
		return "", err
	}
	u, tokens, err := accounts.SignIn(ctx, "admin", password, account.Client{Address: "192.0.2.1"})
	if err != nil {
		return "", err
	}
	_, err = overlay.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)).Create(ctx, u, "campaigns", overlay.Workshop.Name)
	return tokens.Session, err
}

// events returns an event for each function. Pages are requested by the administrator. The events do not change the database:
// forms lack the CSRF token and are refused after the session is checked, and jobs' functions get the id of a job that does
// not exist.
func events(session string) (map[string][]byte, error) {
	all := map[string]any{}
	for _, r := range route.All() {
		path := strings.NewReplacer("{$}", "", "{id}", "1", "{item_id}", "1", "{file}", "app.css").Replace(r.Pattern)
		all[r.Name] = map[string]any{
			"version": "2.0", "rawPath": path, "rawQueryString": "",
			"cookies": []string{"left4me_session=" + session},
			"headers": map[string]string{"accept": "text/html", "content-type": "application/x-www-form-urlencoded"},
			"requestContext": map[string]any{"http": map[string]string{
				"method": r.Method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "starts",
			}},
		}
	}
	for _, o := range job.Runnable() {
		all[o.Function] = job.Event{JobID: 1 << 40}
	}
	for _, s := range job.Schedules() {
		all[s.Function] = s.Event(s.Latest(time.Now()))
	}
	for _, c := range job.Checks() {
		all[c.Function] = job.CheckEvent{Host: "none"}
	}
	events := map[string][]byte{}
	for name, event := range all {
		text, err := json.Marshal(event)
		if err != nil {
			return nil, err
		}
		events[name] = text
	}
	return events, nil
}

func measure(minimal, dir string, env []string, events map[string][]byte, runs int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var baseline times
	each := make([]times, len(entries))
	for range runs {
		for i, e := range entries {
			event, ok := events[e.Name()]
			if !ok {
				return fmt.Errorf("%s is not a function", e.Name())
			}
			if err := baseline.add(start(minimal, nil, []byte("{}"))); err != nil {
				return err
			}
			if err := each[i].add(start(filepath.Join(dir, e.Name()), env, event)); err != nil {
				return err
			}
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "function\tMiB\tstart ms\tof minimal\tanswer ms\tof minimal\t")
	row := func(name, path string, t times) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		start, answer := median(t.start), median(t.answer)
		fmt.Fprintf(w, "%s\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", name, float64(info.Size())/(1<<20),
			ms(start), ms(start)/ms(median(baseline.start)), ms(answer), ms(answer)/ms(median(baseline.answer)))
		return nil
	}
	errs := []error{row("(minimal)", minimal, baseline)}
	for i, e := range entries {
		errs = append(errs, row(e.Name(), filepath.Join(dir, e.Name()), each[i]))
	}
	return errors.Join(append(errs, w.Flush())...)
}

// times are the times of several starts of one program.
type times struct{ start, answer []time.Duration }

func (t *times) add(start, answer time.Duration, err error) error {
	t.start, t.answer = append(t.start, start), append(t.answer, answer)
	return err
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
