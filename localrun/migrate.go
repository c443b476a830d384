package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"left4me/shared/db"
	"left4me/shared/db/migrations"
	"left4me/shared/settings"
)

func migrateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Migrate the database between versions of its schema",
		// Without RunE, cobra shows the help for any argument, and succeeds.
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	run := func(use, short string, do func(context.Context, *db.DB, io.Writer) error) *cobra.Command {
		return &cobra.Command{
			Use:   use,
			Short: short,
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return withDatabase(func(_ settings.Settings, d *db.DB) error {
					return do(cmd.Context(), d, cmd.OutOrStdout())
				})
			},
		}
	}
	c.AddCommand(
		run("up", "Apply every pending migration", func(ctx context.Context, d *db.DB, w io.Writer) error {
			steps, err := migrations.Up(ctx, d)
			printSteps(w, "applied", steps)
			if err == nil && len(steps) == 0 {
				fmt.Fprintln(w, "the database is up to date")
			}
			return err
		}),
		run("down", "Revert the newest migration, with the contents of its tables", func(ctx context.Context, d *db.DB, w io.Writer) error {
			steps, err := migrations.Down(ctx, d)
			printSteps(w, "took back", steps)
			return err
		}),
		run("status", "List the migrations and whether the database has them", func(ctx context.Context, d *db.DB, w io.Writer) error {
			list, err := migrations.List(ctx, d)
			for _, m := range list {
				state := "pending"
				if !m.AppliedAt.IsZero() {
					state = "applied " + m.AppliedAt.UTC().Format("2006-01-02 15:04:05 UTC")
				}
				fmt.Fprintf(w, "%s\t%s\n", m.File, state)
			}
			return err
		}),
	)
	return c
}

func printSteps(w io.Writer, did string, steps []migrations.Step) {
	for _, s := range steps {
		fmt.Fprintf(w, "%s %s\n", did, s.File)
	}
}
