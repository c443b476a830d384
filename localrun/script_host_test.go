package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"left4me/shared/db"
)

// These commands look at the host from beside left4me: at its rows, and at its functions' processes.

// database opens the embedded database of the script, or the file that args name with -db FILE, and returns the other args.
func database(ts *testscript.TestScript, args []string) (*db.DB, []string) {
	file := filepath.Join(ts.Getenv("LEFT4ME_ROOT"), "left4me.db")
	if len(args) > 1 && args[0] == "-db" {
		file, args = ts.MkAbs(args[1]), args[2:]
	}
	d, err := db.Open(db.FileURL(file), "")
	ts.Check(err)
	return d, args
}

// sql [-db FILE] STATEMENT changes rows, to bring about what would take too long, or a fault.
func (s *script) sql(ts *testscript.TestScript, neg bool, args []string) {
	d, args := database(ts, args)
	defer d.Close()
	if len(args) != 1 {
		ts.Fatalf("usage: [!] sql [-db FILE] STATEMENT")
	}
	if _, err := d.ExecContext(context.Background(), args[0]); (err != nil) != neg {
		ts.Fatalf("%s: %v", args[0], err)
	}
}

// rows [-db FILE] [-wait] QUERY [ROW…] checks what a query gives, or waits until it does: each row is its columns joined by
// spaces.
func (s *script) rows(ts *testscript.TestScript, neg bool, args []string) {
	d, args := database(ts, args)
	defer d.Close()
	wait := len(args) > 0 && args[0] == "-wait"
	if wait {
		args = args[1:]
	}
	if len(args) < 1 || wait && neg {
		ts.Fatalf("usage: [!] rows [-db FILE] [-wait] QUERY [ROW…]")
	}
	if wait {
		until(ts, args[0]+" gives "+strings.Join(args[1:], ", "), func() bool {
			found, err := query(d, args[0])
			ts.Check(err)
			return slices.Equal(found, args[1:])
		})
		return
	}
	found, err := query(d, args[0])
	ts.Check(err)
	if slices.Equal(found, args[1:]) == neg {
		ts.Fatalf("%s gives %q", args[0], found)
	}
}

func query(d *db.DB, text string) ([]string, error) {
	rows, err := d.QueryContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	found := []string{}
	for rows.Next() {
		values, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		var words []string
		for _, v := range values {
			words = append(words, fmt.Sprint(v))
		}
		found = append(found, strings.Join(words, " "))
	}
	return found, rows.Err()
}

// has SELECTOR checks that the last answer has such an element.
func (s *script) has(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] has SELECTOR")
	}
	if (s.answer.Page().Find(args[0]).Length() > 0) == neg {
		ts.Fatalf("the page: %s", s.answer.Body)
	}
}

// comes [-in SELECTOR] PATH PATTERN asks for a page until a person reads the pattern on it.
func (s *script) comes(ts *testscript.TestScript, neg bool, args []string) {
	selector := "body"
	if len(args) == 4 && args[0] == "-in" {
		selector, args = args[1], args[2:]
	}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: comes [-in SELECTOR] PATH PATTERN")
	}
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	until(ts, args[0]+" says "+args[1], func() bool {
		s.ask(ts, "GET", args[0], nil, false)
		return pattern.MatchString(s.answer.Text(selector))
	})
}

// appears FILE… waits until all these files are there at the same time.
func (s *script) appears(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: appears FILE…")
	}
	until(ts, strings.Join(args, " and ")+" are there", func() bool {
		return !slices.ContainsFunc(args, func(file string) bool {
			_, err := os.Lstat(ts.MkAbs(file))
			return err != nil
		})
	})
}

// signal FUNCTION NAME sends a signal (KILL, STOP, CONT) to the processes of a function that work for this script's
// LEFT4ME_ROOT, whoever has started them, as soon as there is one. After KILL they are gone. After STOP none of them holds
// up others who want to write to the database.
func (s *script) signal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT}
	if neg || len(args) != 2 || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal FUNCTION KILL|STOP|CONT")
	}
	var found []int
	send := func(s syscall.Signal) {
		for _, pid := range found {
			if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
				ts.Check(err)
			}
		}
	}
	look := func() []int {
		pids, err := functionProcesses(ts.Getenv("LEFT4ME_ROOT"), args[0])
		ts.Check(err)
		return pids
	}
	until(ts, "function "+args[0]+" runs", func() bool {
		found = look()
		send(signals[args[1]])
		if args[1] == "STOP" {
			d, _ := database(ts, nil)
			defer d.Close()
			if !writable(d) {
				send(syscall.SIGCONT)
				return false
			}
		}
		return len(found) > 0
	})
	if args[1] == "KILL" {
		until(ts, "function "+args[0]+" is gone", func() bool {
			return !slices.ContainsFunc(look(), func(pid int) bool { return slices.Contains(found, pid) })
		})
	}
}

// writable reports whether nobody holds the database's lock for writing for long.
func writable(d *db.DB) bool {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	return d.InTx(ctx, func(context.Context, db.Querier) error { return nil }) == nil
}

// functionProcesses returns the processes of a function that work for a LEFT4ME_ROOT.
func functionProcesses(root, function string) (found []int, err error) {
	entries, err := os.ReadDir("/proc")
	variable := []byte("LEFT4ME_ROOT=" + root)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// Both fail for what is not ours, or has just ended.
		program, _ := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if program == filepath.Join(bin, "functions", function) && slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(v []byte) bool { return bytes.Equal(v, variable) }) {
			found = append(found, pid)
		}
	}
	return found, err
}
