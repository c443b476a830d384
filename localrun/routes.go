package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"left4me/shared/job"
	"left4me/shared/route"
)

func routesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "routes",
		Short: "List the routes, the job operations, the schedules and the checks with their functions",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "METHOD\tPATH\tFUNCTION\tWHO")
			for _, r := range route.All() {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Method, r.Pattern, r.Name, r.Who)
			}
			fmt.Fprintln(w, "\nOPERATION\t\tFUNCTION\t")
			for _, o := range job.Runnable() {
				fmt.Fprintf(w, "%s\t\t%s\t\n", o.Name, o.Function)
			}
			fmt.Fprintln(w, "\nSCHEDULE\tAT\tFUNCTION\t")
			for _, s := range job.Schedules() {
				fmt.Fprintf(w, "%s\t%02d:%02d\t%s\t\n", s.Name, s.Hour, s.Minute, s.Function)
			}
			fmt.Fprintln(w, "\nCHECK\tEVERY\tFUNCTION\t")
			for _, c := range job.Checks() {
				fmt.Fprintf(w, "%s\t%v\t%s\t\n", c.Name, c.Every, c.Function)
			}
			return w.Flush()
		},
	}
}
