package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/db/migrations"
	"left4me/shared/settings"
)

func upCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "up",
		Short: "Run all of left4me: migrate, serve the pages, run the jobs",
		Long: `Run all of left4me in one process: bring the database up to date, make a first administrator if there are no
users, serve the pages, run the jobs, and refresh all workshop items daily at 04:00. SIGTERM or Ctrl-C ends it in good
order; running jobs go on at the next start.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSystem(cmd, &o, func(ctx context.Context, s settings.Settings, d *db.DB, log *slog.Logger) error {
				return up(ctx, &o, s, d, cmd.OutOrStdout(), log)
			})
		},
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
		Long:  `Serve the pages. Jobs are run by localrun agent; the database must be current: see localrun migrate.`,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSystem(cmd, &o, func(ctx context.Context, s settings.Settings, d *db.DB, log *slog.Logger) error {
				if err := checkCurrent(ctx, d); err != nil {
					return err
				}
				l, s, err := listen(s)
				if err != nil {
					return err
				}
				m, saysMetrics, err := newMetrics(settings.MetricsListen, s.MetricsListen, d, log)
				if err != nil {
					return err
				}
				pages, answers, err := o.pages(s, l, m, log)
				if err != nil {
					return err
				}
				return runAll(ctx, pages, saysMetrics, supervised(log, answers))
			})
		},
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
		Long: `Run the jobs of this host: claim them, and have their functions run them. The database must be current: see
localrun migrate.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSystem(cmd, &o, func(ctx context.Context, s settings.Settings, d *db.DB, log *slog.Logger) error {
				if err := checkCurrent(ctx, d); err != nil {
					return err
				}
				m, saysMetrics, err := newMetrics(settings.AgentMetricsListen, s.AgentMetricsListen, d, log)
				if err != nil {
					return err
				}
				jobs, looks, err := o.agent(ctx, cmd.Name(), s, d, m, log)
				if err != nil {
					return err
				}
				return runAll(ctx, jobs, saysMetrics, supervised(log, looks))
			})
		},
	}
	o.addFlags(c)
	o.addJobFlags(c)
	return c
}

// runSystem opens what a long-lived command needs, and closes it.
func runSystem(cmd *cobra.Command, o *options, do func(context.Context, settings.Settings, *db.DB, *slog.Logger) error) error {
	if err := o.check(); err != nil {
		return err
	}
	log := newLog(cmd.ErrOrStderr())
	return withDatabase(func(s settings.Settings, d *db.DB) error {
		return do(cmd.Context(), s, d, log)
	})
}

func up(ctx context.Context, o *options, s settings.Settings, d *db.DB, out io.Writer, log *slog.Logger) error {
	// First of all, so that a second left4me on the same address does not touch the database of the first.
	l, s, err := listen(s)
	if err != nil {
		return err
	}
	defer l.Close()
	m, saysMetrics, err := newMetrics(settings.MetricsListen, s.MetricsListen, d, log)
	if err != nil {
		return err
	}
	steps, err := migrations.Up(ctx, d)
	for _, step := range steps {
		log.Info("migrated", "file", step.File, "duration", step.Duration)
	}
	if err != nil {
		return err
	}
	pages, answers, err := o.pages(s, l, m, log)
	if err != nil {
		return err
	}
	jobs, looks, err := o.agent(ctx, "up", s, d, m, log)
	if err != nil {
		return err
	}
	timers, err := o.schedules(s, d, log)
	if err != nil {
		return err
	}
	if err := welcome(ctx, s, d, out); err != nil {
		return err
	}
	return runAll(ctx, pages, jobs, timers, saysMetrics, supervised(log, answers, looks))
}

// welcome makes the first administrator and says where to go.
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
		debug.FreeOSMemory() // hashing a password takes 19 MiB that this process will not need again
	}
	fmt.Fprintf(out, "\n  left4me is ready: open %s\n", s.PublicURL)
	if created {
		fmt.Fprintf(out, "  Sign in as %s with the password %s (shown only this once).\n", name, password)
	}
	fmt.Fprintln(out)
	return nil
}

// checkCurrent refuses a database that a migration is waiting for.
func checkCurrent(ctx context.Context, d *db.DB) error {
	list, err := migrations.List(ctx, d)
	if err != nil {
		return err
	}
	for _, m := range list {
		if m.AppliedAt.IsZero() {
			return errors.New("the database is not up to date: run `localrun migrate up`")
		}
	}
	return nil
}
