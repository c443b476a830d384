package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/host"
	"left4me/shared/jobstore"
	"left4me/shared/settings"
)

func hostsCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "hosts",
		Short: "List the hosts",
		Long: `List the hosts that have run a host agent on this database, by name.

Each host is known by the id in its LEFT4ME_ROOT/host.json, which its agent writes when it starts for the first time. Its name
is LEFT4ME_HOST, or else that of the machine. The database must be current: see localrun migrate.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withHosts(cmd, func(hosts *host.Store) error {
				all, err := hosts.ListAll(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printHostsJSON(cmd.OutOrStdout(), all, time.Now())
				}
				return printHosts(cmd.OutOrStdout(), all, time.Now())
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print them as a JSON array, with times in RFC 3339 and sizes in bytes")
	c.AddCommand(&cobra.Command{
		Use:   "remove ID|NAME",
		Short: "Remove a host that is gone for good",
		Long: `Remove a host that is gone for good. Its jobs are ended, and nothing waits for it any more. Its agent must have ended; if it is
started again, it is a new host.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withHosts(cmd, func(hosts *host.Store) error {
				h, err := hosts.Remove(cmd.Context(), args[0])
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "removed host %s (%s)\n", h.Name, h.ID)
				}
				return err
			})
		},
	})
	return c
}

func withHosts(cmd *cobra.Command, do func(*host.Store) error) error {
	return withDatabase(func(_ settings.Settings, d *db.DB) error {
		if err := checkCurrent(cmd.Context(), d, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))); err != nil {
			return err
		}
		return do(host.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)))
	})
}

func printHosts(w io.Writer, hosts []host.Listed, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tADDRESS\tVERSION\tSTATE\tLAST REPORT\tFREE SPACE\tCACHE\tJOBS\tFAILED OVERLAYS")
	for _, h := range hosts {
		free, cache := "unknown", "unknown"
		if h.DiskTotal > 0 {
			free = humanize.IBytes(uint64(h.DiskFree)) + " of " + humanize.IBytes(uint64(h.DiskTotal))
		}
		if !h.MeasuredAt.IsZero() {
			cache = humanize.IBytes(uint64(h.Usage.CacheBytes))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d running, %d waiting\t%d\n", h.ID, h.Name, cmp.Or(h.Address, "-"), h.Version, h.State(now),
			humanize.RelTime(h.SeenAt, now, "ago", "from now"), free, cache, h.Running, h.Waiting, h.Failed)
	}
	return table.Flush()
}

// hostJSON is a host in the output for programs. What is not known is left out.
type hostJSON struct {
	ID             string     `json:"id"`
	Name           string     `json:"name"`
	Address        string     `json:"address,omitempty"`
	Root           string     `json:"root,omitempty"`
	Version        string     `json:"version"`
	State          string     `json:"state"`
	SeenAt         time.Time  `json:"seen_at"`
	StoppedAt      time.Time  `json:"stopped_at,omitzero"`
	Disk           *diskJSON  `json:"disk,omitempty"`
	Cache          *cacheJSON `json:"cache,omitempty"`
	RunningJobs    int        `json:"running_jobs"`
	WaitingJobs    int        `json:"waiting_jobs"`
	FailedOverlays int        `json:"failed_overlays"`
	Servers        int        `json:"servers"`
}

type diskJSON struct {
	Total int64 `json:"total"`
	Free  int64 `json:"free"`
}

type cacheJSON struct {
	Files      int64     `json:"files"`
	Bytes      int64     `json:"bytes"`
	MeasuredAt time.Time `json:"measured_at"`
}

func printHostsJSON(w io.Writer, hosts []host.Listed, now time.Time) error {
	all := make([]hostJSON, len(hosts))
	for i, h := range hosts {
		all[i] = hostJSON{
			ID: h.ID, Name: h.Name, Address: h.Address, Root: h.Root, Version: h.Version, State: h.State(now), SeenAt: h.SeenAt.UTC(),
			RunningJobs: h.Running, WaitingJobs: h.Waiting, FailedOverlays: h.Failed, Servers: h.Servers,
		}
		if !h.StoppedAt.IsZero() {
			all[i].StoppedAt = h.StoppedAt.UTC()
		}
		if h.DiskTotal > 0 {
			all[i].Disk = &diskJSON{h.DiskTotal, h.DiskFree}
		}
		if !h.MeasuredAt.IsZero() {
			all[i].Cache = &cacheJSON{h.Usage.CacheFiles, h.Usage.CacheBytes, h.MeasuredAt.UTC()}
		}
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(all)
}

// thisHost returns the host that this machine and LEFT4ME_ROOT are, with its id. The directory and the id are made if there are none
// yet. command is the command of localrun that its agent is part of.
func thisHost(command string, s settings.Settings) (host.Host, error) {
	if err := os.MkdirAll(s.Root, 0o755); err != nil {
		return host.Host{}, fmt.Errorf("%s: %w", settings.Root, err)
	}
	id, err := host.EnsureID(s.Root)
	if err != nil {
		return host.Host{}, fmt.Errorf("the id of this host: %w", err)
	}
	agent, err := host.ThisAgent(s.Root)
	if err != nil {
		return host.Host{}, fmt.Errorf("%s: %w", settings.Root, err)
	}
	return host.Host{ID: id, Name: s.Host, Address: s.Address, Agent: agent, Command: command, Version: fn.Version, Root: s.Root}, nil
}

// knownHost returns this host, and registers it if it is new, for a command that runs jobs without being an agent.
func knownHost(ctx context.Context, command string, s settings.Settings, d *db.DB) (host.Host, error) {
	this, err := thisHost(command, s)
	if err != nil {
		return host.Host{}, err
	}
	hosts := host.NewStore(d, time.Now, jobstore.NewStore(d, time.Now))
	all, err := hosts.List(ctx)
	if err != nil || slices.ContainsFunc(all, func(h host.Host) bool { return h.ID == this.ID }) {
		return this, err
	}
	_, err = hosts.Register(ctx, this)
	if err == nil {
		err = hosts.Stopped(ctx, this)
	}
	return this, err
}

// registerPause is how long register waits before it asks again.
const registerPause = 2 * time.Second

// register registers this host, as soon as the database answers. If another agent may be using its id, it waits until that agent is
// known to be lost, or has reported again: then the error explains what to do. trying is called before each pause.
func register(ctx context.Context, hosts *host.Store, this host.Host, log *slog.Logger, trying func()) error {
	var other *host.Host
	logged := false
	for {
		added, err := hosts.Register(ctx, this)
		inUse, isInUse := errors.AsType[*host.InUseError](err)
		switch {
		case err == nil && added:
			log.Info("this host is new; all overlays are to be built on it", "host", this.ID, "name", this.Name)
			return nil
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case isInUse && other != nil && inUse.Host.SeenAt.After(other.SeenAt):
			return inUse
		case isInUse && other == nil:
			other = &inUse.Host
			log.Warn("another agent has used this host's id a moment ago; waiting until it reports again or is known to be lost", "host", this.ID, "name", other.Name)
		case !isInUse && !logged:
			logged = true
			log.Error("cannot register this host; trying on", "error", err.Error())
		}
		trying()
		select {
		case <-time.After(registerPause):
		case <-ctx.Done():
		}
	}
}

// joinAgents returns a lock that all agents of a LEFT4ME_ROOT share while they run.
func joinAgents(root string) (*flock.Flock, error) {
	agents := flock.New(filepath.Join(root, "agents.lock"))
	if err := agents.RLock(); err != nil {
		return nil, fmt.Errorf("%s: %w", settings.Root, err)
	}
	return agents, nil
}

// reportEnd records that the agent of this host ends, unless another one shares agents.
func reportEnd(ctx context.Context, hosts *host.Store, this host.Host, agents *flock.Flock, log *slog.Logger) {
	if last, err := agents.TryLock(); err == nil && !last {
		return
	}
	const patience = 5 * time.Second
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer stop()
	if err := hosts.Stopped(ctx, this); err != nil {
		log.Warn("cannot report that this host's agent ends", "error", err.Error())
	}
}
