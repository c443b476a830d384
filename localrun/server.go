package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/list"
	"left4me/shared/server"
	"left4me/shared/settings"
)

func serversCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "server",
		Short: "List, show, start and stop game servers",
		Long: `List, show, start and stop game servers. A server is named by its id, or by its name if no other one has it.

start, stop and restart ask for a job, which the agent of the server's host runs, and print its id. The database must be current: see
localrun migrate.`,
	}
	var asJSON bool
	c.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON, with times in RFC 3339 and sizes in bytes")
	output := func(w io.Writer, value any, text func(io.Writer) error) error {
		if !asJSON {
			return text(w)
		}
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(value)
	}
	c.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List the servers",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withServers(cmd, func(ctx context.Context, servers *server.Store) error {
				all := []serverJSON{}
				for number, more := 1, true; more; number++ {
					page, err := servers.List(ctx, account.User{Admin: true}, list.Query{Page: number})
					if err != nil {
						return err
					}
					for _, s := range page.Rows {
						all = append(all, toJSON(s))
					}
					more = page.More
				}
				return output(cmd.OutOrStdout(), all, func(w io.Writer) error { return printServers(w, all...) })
			})
		},
	}, &cobra.Command{
		Use:   "show SERVER",
		Short: "Show a server, and what it runs or has run last",
		Args:  oneArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withServer(cmd, args[0], func(ctx context.Context, servers *server.Store, s server.Server) error {
				shown := shownJSON{serverJSON: toJSON(s)}
				run, err := servers.LastRun(ctx, s.ID)
				if err != nil {
					return err
				}
				if run.ID != 0 {
					stack, err := servers.LastStack(ctx, s.ID)
					if err != nil {
						return err
					}
					shown.Run = toRunJSON(run, stack)
				}
				return output(cmd.OutOrStdout(), shown, shown.print)
			})
		},
	})
	for _, ask := range []struct {
		name, short string
		operation   job.Operation
		request     func(*server.Store, context.Context, account.User, server.Server) (*jobstore.Enqueued, error)
	}{
		{"start", "Start a server", job.ServerStart, (*server.Store).Start},
		{"stop", "Stop a server", job.ServerStop, (*server.Store).Stop},
		{"restart", "Stop a server, if it is running, and start it", job.ServerStart, (*server.Store).Restart},
	} {
		c.AddCommand(&cobra.Command{
			Use:   ask.name + " SERVER",
			Short: ask.short,
			Args:  oneArgument,
			RunE: func(cmd *cobra.Command, args []string) error {
				return withServer(cmd, args[0], func(ctx context.Context, servers *server.Store, s server.Server) error {
					e, err := ask.request(servers, ctx, account.User{}, s)
					if err != nil {
						return err
					}
					answer := enqueuedJSON{e.ID, ask.operation.Name, string(e.State)}
					return output(cmd.OutOrStdout(), answer, func(w io.Writer) error {
						_, err := fmt.Fprintln(w, e.Sentence(ask.operation))
						return err
					})
				})
			},
		})
	}
	return c
}

// withServers runs do, and wakes the agents if that has enqueued a job.
func withServers(cmd *cobra.Command, do func(context.Context, *server.Store) error) error {
	return withDatabase(func(s settings.Settings, d *db.DB) error {
		log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
		if err := checkCurrent(cmd.Context(), d, log); err != nil {
			return err
		}
		env := &fn.Env{Settings: s, DB: d, Jobs: jobstore.NewStore(d, time.Now), Log: log, Now: time.Now}
		defer env.WakeAgent(cmd.Context())
		return do(cmd.Context(), server.NewStore(d, time.Now, env.Jobs))
	})
}

// withServer is withServers about the server with that id or name.
func withServer(cmd *cobra.Command, idOrName string, do func(context.Context, *server.Store, server.Server) error) error {
	return withServers(cmd, func(ctx context.Context, servers *server.Store) error {
		s, err := servers.Named(ctx, idOrName)
		if err != nil {
			return err
		}
		return do(ctx, servers, s)
	})
}

type enqueuedJSON struct {
	JobID     int64  `json:"job_id"`
	Operation string `json:"operation"`
	State     string `json:"state"`
}

// serverJSON is a server in the output for programs. What is not known is left out.
type serverJSON struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	State     string    `json:"state"`
	Since     time.Time `json:"since"`
	Address   string    `json:"address,omitempty"`
	Port      int       `json:"port"`
	Host      string    `json:"host"`
	HostID    string    `json:"host_id"`
	Blueprint string    `json:"blueprint"`
	Owner     string    `json:"owner"`
	Public    bool      `json:"public"`
	// RestartPolicy says when it is restarted for updates, and UpdateWaiting what the next start changes.
	RestartPolicy string `json:"restart_policy"`
	UpdateWaiting string `json:"update_waiting,omitempty"`
}

func toJSON(s server.Server) serverJSON {
	state, since := s.Now(time.Now())
	return serverJSON{
		ID: s.ID, Name: s.Name, State: string(state), Since: since.UTC(), Address: s.Address, Port: s.Port, Host: s.HostName, HostID: s.HostID,
		Blueprint: s.Blueprint, Owner: s.OwnerName, Public: s.Public, RestartPolicy: s.Policy.String(), UpdateWaiting: s.Update.Waits,
	}
}

func printServers(w io.Writer, all ...serverJSON) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tSTATE\tSINCE\tHOST\tPORT\tBLUEPRINT\tOWNER")
	for _, s := range all {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", s.ID, s.Name, s.State, humanize.Time(s.Since), s.Host, s.Port, s.Blueprint, s.Owner)
	}
	return table.Flush()
}

// shownJSON is a server with its last run.
type shownJSON struct {
	serverJSON
	Run *runJSON `json:"run,omitempty"`
}

type runJSON struct {
	ID        int64         `json:"id"`
	StartedAt time.Time     `json:"started_at"`
	EndedAt   time.Time     `json:"ended_at,omitzero"`
	EndedHow  string        `json:"ended_how,omitempty"`
	LastLines string        `json:"last_lines,omitempty"`
	BuildID   int64         `json:"build_id"`
	Blueprint string        `json:"blueprint"`
	Port      int           `json:"port"`
	Overlays  []overlayJSON `json:"overlays"`
}

type overlayJSON struct {
	ID      int64      `json:"id"`
	Name    string     `json:"name"`
	Mounted bool       `json:"mounted"`
	Items   []itemJSON `json:"items"`
}

type itemJSON struct {
	SteamID string    `json:"steam_id"`
	Title   string    `json:"title"`
	Updated time.Time `json:"updated_at"`
	Size    int64     `json:"size"`
}

func toRunJSON(r server.Run, stack []server.RunOverlay) *runJSON {
	run := runJSON{
		ID: r.ID, StartedAt: r.StartedAt.UTC(), EndedHow: r.EndedHow, LastLines: r.LastLines, BuildID: r.Build, Blueprint: r.Blueprint, Port: r.Port,
		Overlays: []overlayJSON{},
	}
	if !r.EndedAt.IsZero() {
		run.EndedAt = r.EndedAt.UTC()
	}
	for _, o := range stack {
		overlay := overlayJSON{o.ID, o.Name, o.Mounted, []itemJSON{}}
		for _, i := range o.Items {
			overlay.Items = append(overlay.Items, itemJSON{i.SteamID, i.Title, time.Unix(i.Updated, 0).UTC(), i.Size})
		}
		run.Overlays = append(run.Overlays, overlay)
	}
	return &run
}

func (s shownJSON) print(w io.Writer) error {
	if err := printServers(w, s.serverJSON); err != nil || s.Run == nil {
		return err
	}
	fmt.Fprintf(w, "\nrun %d, started %s, release %d, blueprint %s\n", s.Run.ID, humanize.Time(s.Run.StartedAt), s.Run.BuildID, s.Run.Blueprint)
	if !s.Run.EndedAt.IsZero() {
		fmt.Fprintf(w, "ended %s: %s\n", humanize.Time(s.Run.EndedAt), s.Run.EndedHow)
	}
	for _, o := range s.Run.Overlays {
		fmt.Fprintf(w, "overlay %d, %s\n", o.ID, o.Name)
		for _, i := range o.Items {
			fmt.Fprintf(w, "  %s  %s  %q\n", i.SteamID, humanize.IBytes(uint64(i.Size)), i.Title)
		}
	}
	if s.Run.LastLines != "" {
		fmt.Fprintf(w, "last lines of the console:\n%s\n", s.Run.LastLines)
	}
	return nil
}
