// Command starts measures how fast built functions start (`make starts`): for each program of a directory its size, the
// time from its spawn to its first question for work, the ratio of that to a minimal function's, and the time from its
// spawn to its first answer.
//
//	starts DIR          functions with the embedded database, on a file
//	starts -server DIR  functions that only know a libSQL server, on the test server in this process
//
// It speaks the Runtime API itself, as localrun/lambdahost does, because that does not tell the two times apart. Between any
// two programs the minimal one is measured, so that what else the machine does meets both alike; the figures are medians.
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
	defer d.Close() // not sooner: localrun has the database open, too, and the first to open it would have more to do
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

// fill gives the database tables, an administrator and an overlay, and returns the token of the administrator's session.
func fill(ctx context.Context, d *db.DB) (string, error) {
	if _, err := migrations.Up(ctx, d); err != nil {
		return "", err
	}
	accounts := account.NewStore(d, time.Now)
	password := account.RandomPassword()
	if _, err := accounts.Create(ctx, "admin", password, true); err != nil {
		return "", err
	}
	u, token, err := accounts.SignIn(ctx, "admin", password, account.Client{Address: "192.0.2.1"})
	if err != nil {
		return "", err
	}
	id, err := overlay.NewStore(d, time.Now).Create(ctx, d, u, "campaigns", overlay.Workshop)
	if err != nil {
		return "", err
	}
	_, err = jobstore.NewStore(d, time.Now).EnqueueBuild(ctx, d, id, u.ID)
	return token, err
}

// events returns the first event of each function. Pages are asked for by the administrator. Forms come without their
// token and are refused once it is known who sends them; jobs' functions are told to run a job that is not there: each start
// finds the same database.
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
	var least times
	each := make([]times, len(entries))
	for range runs {
		for i, e := range entries {
			event, ok := events[e.Name()]
			if !ok {
				return fmt.Errorf("%s is no function", e.Name())
			}
			if err := least.add(start(minimal, nil, []byte("{}"))); err != nil {
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
			ms(start), ms(start)/ms(median(least.start)), ms(answer), ms(answer)/ms(median(least.answer)))
		return nil
	}
	errs := []error{row("(minimal)", minimal, least)}
	for i, e := range entries {
		errs = append(errs, row(e.Name(), filepath.Join(dir, e.Name()), each[i]))
	}
	return errors.Join(append(errs, w.Flush())...)
}

// times are those of many starts of one program.
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
