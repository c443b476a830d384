package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"left4me/shared/db"
	"left4me/shared/game"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/settings"
)

func installCommand() *cobra.Command {
	var o options
	var on string
	var asJSON bool
	c := &cobra.Command{
		Use:   "install",
		Short: "Install the game, or its newest release",
		Long: `Install the newest release of the game's dedicated server on this host, or with --host on another one: with SteamCMD, which is
downloaded first. Running servers go on with the release that they have started with. A release needs about 10 GB.

This is the job install, which waits until no other job is at work on the host. The command shows its log until it has ended. The
host agent runs the job; on this host, the command does if there is no agent. Ctrl-C cancels the job, unless it had been asked for
before. The next install goes on where the job has stopped. The database must be current: see localrun migrate.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDatabase(func(s settings.Settings, d *db.DB) error {
				ctx, stdout, stderr := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
				if err := checkCurrent(ctx, d, slog.New(slog.NewTextHandler(stderr, nil))); err != nil {
					return err
				}
				this, err := host.ReadID(s.Root)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				var h host.Host
				jobs := jobstore.NewStore(d, time.Now)
				if on == "" {
					h, err = knownHost(ctx, "install", s, d)
					this = h.ID
				} else {
					h, err = host.NewStore(d, time.Now, jobs).Find(ctx, on)
				}
				if err != nil {
					return err
				}
				out := stdout
				if asJSON {
					out = stderr
				}
				asked, err := o.runJob(ctx, "install", s, d, job.Install, h.ID, this, out, stderr)
				if asJSON && asked != nil {
					err = errors.Join(err, printInstall(cmd, d, jobs, h.ID, asked))
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&on, "host", "", "name or id of another host (localrun hosts)")
	c.Flags().BoolVar(&asJSON, "json", false, "print how the job has ended as a JSON object, and its log to stderr")
	o.addFunctionsFlag(c)
	return c
}

// printInstall prints how the job of an install on a host has ended, for programs.
func printInstall(cmd *cobra.Command, d *db.DB, jobs *jobstore.Store, hostID string, asked *jobstore.Enqueued) error {
	j, err := jobs.Get(cmd.Context(), asked.ID)
	if err != nil {
		return err
	}
	r, _, err := game.NewStore(d, time.Now, jobs).Newest(cmd.Context(), d, hostID)
	if err != nil {
		return err
	}
	return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
		JobID  int64     `json:"job_id"`
		New    bool      `json:"new"`
		State  job.State `json:"state"`
		Error  string    `json:"error,omitempty"`
		HostID string    `json:"host_id"`
		// BuildID is the newest release on the host; 0: none.
		BuildID int64 `json:"build_id"`
	}{j.ID, asked.New, j.State, j.Error, hostID, r.BuildID})
}

func steamLoginCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "steam-login",
		Short: "Sign SteamCMD in on this host",
		Long: `Sign SteamCMD in on this host as STEAM_USER, for installs of the game that Steam refuses without an account. SteamCMD asks for the
password, and for the code of Steam Guard. left4me sees neither. SteamCMD remembers the sign-in in LEFT4ME_ROOT/steam, which only
left4me's user can read. Use an account that owns Left 4 Dead 2 and nothing else of value.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings()
			if err != nil {
				return err
			}
			if s.SteamUser == "" {
				return errors.New("set STEAM_USER to the name of an account on Steam first")
			}
			return game.NewInstaller(s).Steam.Login(cmd.Context(), s.SteamUser)
		},
	}
}
