package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"left4me/localrun/doctor"
)

func doctorCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look whether left4me can work on this host",
		Long: `Look whether left4me can work on this host: settings, functions, directories, disk, pages, Steam, clock, database,
people, the host agent and what starts the daily refresh. There is one line for each, and what to do about it. Nothing is
changed. The exit status is 1 when a check has failed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := o.directory()
			if err != nil {
				return err
			}
			host := doctor.Host{Getenv: os.Getenv, FunctionsDir: dir, TimerEnabled: doctor.SystemdTimer, Now: time.Now}
			for _, f := range slices.Concat(pageFunctions(), jobFunctions(1), scheduleFunctions()) {
				host.Functions = append(host.Functions, f.Name)
			}
			found, failed := host.Examine(cmd.Context()), 0
			for _, f := range found {
				fmt.Fprintln(cmd.OutOrStdout(), f)
				if f.Level == doctor.Failed {
					failed++
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d checks failed", failed, len(found))
			}
			return nil
		},
	}
	c.Flags().StringVar(&o.functions, "functions", "", "directory of the function binaries (default functions/ beside localrun)")
	return c
}
