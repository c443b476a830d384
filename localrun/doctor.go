package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"left4me/localrun/doctor"
	"left4me/localrun/heartbeat"
	"left4me/shared/game/supervisor"
)

func doctorCommand() *cobra.Command {
	var o options
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether left4me can work on this host",
		Long: `Check whether left4me can work on this host: settings, functions, directories, disk, game, what keeps servers, pages,
Steam, clock, database, people, the host agent, ports of servers and the start of the daily refresh. There is one line for each, with what to do about a problem. Nothing
is changed. The exit status is 1 if a check has failed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := o.directory()
			if err != nil {
				return err
			}
			host := doctor.Host{Getenv: os.Getenv, FunctionsDir: dir, Environ: os.Environ(), Timer: doctor.SystemdTimer, Libraries: doctor.Libraries32,
				Servers: supervisor.Check, DiskSpace: heartbeat.DiskSpace, Now: time.Now}
			for _, f := range slices.Concat(pageFunctions(), jobFunctions(1), scheduleFunctions(), checkFunctions()) {
				host.Functions = append(host.Functions, f.Name)
			}
			found, failed := host.Examine(cmd.Context()), 0
			if asJSON {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(found); err != nil {
					return err
				}
			}
			for _, f := range found {
				if !asJSON {
					fmt.Fprintln(cmd.OutOrStdout(), f)
				}
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
	c.Flags().BoolVar(&asJSON, "json", false, "print the checks as a JSON array")
	o.addFunctionsFlag(c)
	return c
}
