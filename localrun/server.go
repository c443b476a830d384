package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"left4me/shared/list"
	"left4me/shared/route"
	"left4me/shared/server"
)

var servers = noun{"server", route.ServerList}

// serverJSON is what commands show of a server.
type serverJSON struct {
	named
	State      server.State `json:"state"`
	StateAt    time.Time    `json:"state_at"`
	HostName   string       `json:"host_name"`
	HostSeenAt time.Time    `json:"host_seen_at"`
	Port       int          `json:"port"`
	Blueprint  string       `json:"blueprint"`
	OwnerName  string       `json:"owner_name"`
}

// serverView is a server with its last run.
type serverView struct {
	Server serverJSON `json:"server"`
	Run    *runJSON   `json:"run"`
	Stack  []struct {
		named
		Items []struct {
			SteamID string `json:"steam_id"`
			Title   string `json:"title"`
			Size    uint64 `json:"size"`
		} `json:"items"`
	} `json:"stack"`
}

type runJSON struct {
	ID        int64     `json:"id"`
	Build     int64     `json:"build"`
	Blueprint string    `json:"blueprint"`
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`
	EndedHow  string    `json:"ended_how"`
	LastLines string    `json:"last_lines"`
}

func serversCommand() *cobra.Command {
	var c caller
	g := c.group("server", "List, show, start and stop game servers, and send them commands", `List, show, start and stop game servers, and send them commands. A server is named by its id, or by its name if no other one has it.

start, stop and restart ask for a job, which the agent of the server's host runs.`)
	g.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List the servers",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.run(cmd, func(ctx context.Context, api *client) error {
				rows, err := api.rows(ctx, route.ServerList.URL(), "servers", list.Query{})
				if err != nil {
					return err
				}
				all, err := decode[serverJSON](rows)
				if err != nil {
					return err
				}
				return c.print(cmd.OutOrStdout(), rows, func(w io.Writer) error { return printServers(w, all...) })
			})
		},
	}, c.serverCommand("show", "Show a server, and what it runs or has run last", func(ctx context.Context, api *client, cmd *cobra.Command, id int64, _ []string) error {
		var v serverView
		answer, err := api.get(ctx, route.ServerShow.URL(id), &v)
		if err != nil {
			return err
		}
		return c.print(cmd.OutOrStdout(), answer, v.print)
	}))
	for _, ask := range []struct {
		name, short string
		form        route.Route
	}{
		{"start", "Start a server", route.ServerStart},
		{"stop", "Stop a server", route.ServerStop},
		{"restart", "Stop a server, if it is running, and start it", route.ServerRestart},
	} {
		g.AddCommand(c.addFollow(c.serverCommand(ask.name, ask.short, func(ctx context.Context, api *client, cmd *cobra.Command, id int64, _ []string) error {
			d, answer, err := api.post(ctx, ask.form.URL(id), nil)
			if err != nil {
				return err
			}
			return c.finish(ctx, api, cmd, d, answer, route.ServerShow.URL(id))
		})))
	}
	command := c.serverCommand("command", "Have the game of a server execute a command, and print its answer", func(ctx context.Context, api *client, cmd *cobra.Command, id int64, args []string) error {
		d, _, err := api.post(ctx, route.ServerCommand.URL(id), url.Values{"command": {strings.Join(args, " ")}})
		if err != nil {
			return err
		}
		return c.follow(ctx, api, cmd, d.Location)
	})
	command.Use += " COMMAND..."
	command.Args = usage(cobra.MinimumNArgs(2))
	command.Example = `  localrun server command friday status
  localrun server command friday 'say "five minutes left"'`
	g.AddCommand(command)
	return g
}

// serverCommand is a command about one server.
func (c *caller) serverCommand(name, short string, do func(context.Context, *client, *cobra.Command, int64, []string) error) *cobra.Command {
	return &cobra.Command{Use: name + " SERVER", Short: short, Args: usage(oneArgument), ValidArgsFunction: c.names(servers), RunE: c.about(servers, do)}
}

func printServers(w io.Writer, all ...serverJSON) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tSTATE\tSINCE\tHOST\tPORT\tBLUEPRINT\tOWNER")
	for _, s := range all {
		state, since := server.Server{State: s.State, StateAt: s.StateAt, HostSeenAt: s.HostSeenAt}.Now(time.Now())
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", s.ID, s.Name, state, humanize.Time(since), s.HostName, s.Port, s.Blueprint, s.OwnerName)
	}
	return table.Flush()
}

func (v serverView) print(w io.Writer) error {
	if err := printServers(w, v.Server); err != nil || v.Run == nil {
		return err
	}
	fmt.Fprintf(w, "\nrun %d, started %s, release %d, blueprint %s\n", v.Run.ID, humanize.Time(v.Run.StartedAt), v.Run.Build, v.Run.Blueprint)
	if !v.Run.EndedAt.IsZero() {
		fmt.Fprintf(w, "ended %s: %s\n", humanize.Time(v.Run.EndedAt), v.Run.EndedHow)
	}
	for _, o := range v.Stack {
		fmt.Fprintf(w, "overlay %d, %s\n", o.ID, o.Name)
		for _, i := range o.Items {
			fmt.Fprintf(w, "  %s  %s  %q\n", i.SteamID, humanize.IBytes(i.Size), i.Title)
		}
	}
	if v.Run.LastLines != "" {
		fmt.Fprintf(w, "last lines of the console:\n%s\n", v.Run.LastLines)
	}
	return nil
}
