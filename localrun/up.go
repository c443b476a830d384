package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"left4me/localrun/sdnotify"
	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/migrations"
	"left4me/shared/game/launch"
	"left4me/shared/game/supervisor"
	"left4me/shared/settings"
)

func upCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "up",
		Short: "Run all of left4me: migrate, serve the pages, run the jobs",
		Long: `Run all of left4me in one process: bring the database up to date, create a first administrator if there are no
users, serve the pages, run the jobs, and refresh all workshop items daily at 04:00. SIGTERM or Ctrl-C stops it cleanly, with its game
servers; running jobs continue at the next start, and so do servers.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSystem(cmd, &o, true, true) },
	}
	o.addFlags(c)
	o.addPageFlags(c)
	o.addJobFlags(c)
	return c
}

func serveCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the pages",
		Long:  `Serve the pages. localrun agent runs the jobs. The database must be current: see localrun migrate.`,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runSystem(cmd, &o, true, false) },
	}
	o.addFlags(c)
	o.addPageFlags(c)
	return c
}

func agentCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "agent",
		Short: "Run the jobs of this host",
		Long:  `Run the jobs of this host: claim them, and run their functions. The database must be current: see localrun migrate.`,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runSystem(cmd, &o, false, true) },
	}
	o.addFlags(c)
	o.addJobFlags(c)
	return c
}

// runSystem serves pages, runs jobs, or does both until the command's context ends. Only if it does both, it also migrates the
// database, creates the first administrator and fires all schedules.
func runSystem(cmd *cobra.Command, o *options, servesPages, runsJobs bool) error {
	if err := o.check(servesPages, runsJobs); err != nil {
		return err
	}
	log := newLog(cmd.ErrOrStderr())
	return withDatabase(func(s settings.Settings, d *db.DB) error {
		ctx, both := cmd.Context(), servesPages && runsJobs
		if !both {
			if err := checkCurrent(ctx, d, log); err != nil {
				return err
			}
		}
		var l net.Listener
		setting, address := settings.AgentMetricsListen, s.AgentMetricsListen
		if servesPages {
			// Before the migrations, so that a second left4me on the same address does not change the database.
			var err error
			if l, s, err = listen(s); err != nil {
				return err
			}
			defer l.Close()
			setting, address = settings.MetricsListen, s.MetricsListen
		}
		m, serveMetrics, err := newMetrics(setting, address, d, log)
		if err != nil {
			return err
		}
		if both {
			steps, err := migrations.Up(ctx, d)
			for _, step := range steps {
				log.Info("migrated", "file", step.File, "duration", step.Duration)
			}
			if err == nil {
				err = checkCurrent(ctx, d, log)
			}
			if err != nil {
				return err
			}
		}
		services, checks := []service{serveMetrics, releaseMemory}, []sdnotify.Check(nil)
		if servesPages {
			pages, check, err := o.pages(s, l, m, log)
			if err != nil {
				return err
			}
			services, checks = append(services, pages), append(checks, check)
		}
		if runsJobs {
			if err := keepReserve(s); err != nil {
				log.Warn("no reserve for a full disk", "error", err.Error())
			}
			jobs, check, err := o.agent(ctx, cmd.Name(), s, d, m, log)
			if err != nil {
				return err
			}
			timers, err := o.schedules(s, d, both, log)
			if err != nil {
				return err
			}
			services, checks = append(services, jobs, timers), append(checks, check)
		}
		if both {
			if err := welcome(ctx, s, d, cmd.OutOrStdout()); err != nil {
				return err
			}
		}
		notify := func(ctx context.Context) error { return sdnotify.Run(ctx, log, checks...) }
		err = runAll(ctx, append(services, notify)...)
		if both {
			stopping, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*launch.StopTime)
			defer stop()
			err = errors.Join(err, supervisor.End(stopping, s))
		}
		return err
	})
}

// welcome creates the first administrator if there are no users, and prints the address of the pages.
func welcome(ctx context.Context, s settings.Settings, d *db.DB, out io.Writer) error {
	const name = "admin"
	accounts := account.NewStore(d, time.Now)
	any, err := accounts.Any(ctx)
	if err != nil {
		return err
	}
	created := false
	password := account.RandomPassword()
	if !any {
		if created, err = accounts.CreateFirst(ctx, name, password); err != nil {
			return err
		}
		debug.FreeOSMemory() // hashing a password needs 19 MiB, which this process does not need again
	}
	local, _ := net.InterfaceAddrs() // without them, the line below is missing
	fmt.Fprintf(out, "\n  left4me is ready: open %s\n", s.PublicURL)
	if urls := s.Elsewhere(local); len(urls) > 0 {
		fmt.Fprintf(out, "  From other machines open %s\n", strings.Join(urls, " or "))
	}
	if created {
		fmt.Fprintf(out, "  Sign in as %s with the password %s (shown only this once).\n", name, password)
	}
	fmt.Fprintln(out)
	return nil
}

// checkCurrent returns an error if the database lacks a migration. If the database is newer than this program, which may be so
// for a moment during an upgrade, it logs a warning.
func checkCurrent(ctx context.Context, d *db.DB, log *slog.Logger) error {
	pending, newer, err := migrations.Pending(ctx, d)
	if newer {
		log.Warn("the database has the schema of a newer left4me: install that version, or restore the backup from before")
	}
	if err == nil && len(pending) > 0 {
		err = errors.New("the database is not up to date: run `localrun migrate up`")
	}
	return err
}
