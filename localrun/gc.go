package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"left4me/shared/db"
	"left4me/shared/garbage"
	"left4me/shared/host"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/settings"
	"left4me/shared/vpkcache"
	"left4me/shared/workshop"
	"left4me/templates/page"
)

func gcCommand() *cobra.Command {
	var o options
	var dryRun bool
	c := &cobra.Command{
		Use:   "gc",
		Short: "Remove files of the cache that nobody needs",
		Long: `Remove unneeded files from the cache: files of items that no overlay holds, and leftovers of broken downloads. A file stays if
a link below LEFT4ME_ROOT/overlays leads to it, or if left4me did not put it into the cache. Files that are needed again later
are downloaded again.

This is the job collect_garbage, which waits until no build is running. The command shows its log until it has ended. The host
agent runs the job, or this command does if there is no agent. The exit status is 0 if all files could be removed. Ctrl-C
cancels the job, unless it had been asked for before. The database must be current: see localrun migrate.

On a full disk the embedded database cannot store the job. Therefore the host agent keeps a file of 4 MiB beside the database,
left4me.reserve, which this command removes then, and creates again when the job has made room.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings()
			if err != nil {
				return err
			}
			used, err := useReserve(s)
			if err != nil {
				return err
			}
			d, err := openDatabase(s)
			if err != nil {
				return err
			}
			err = checkCurrent(cmd.Context(), d, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)))
			switch {
			case err != nil:
			case dryRun:
				err = listGarbage(cmd.Context(), s, d, cmd.OutOrStdout())
			default:
				err = o.collectGarbage(cmd.Context(), s, d, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			err = errors.Join(err, d.Close())
			if used { // closing has made room, too
				err = errors.Join(err, keepReserve(s))
			}
			return err
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "list what would be removed, and remove nothing")
	o.addFunctionsFlag(c)
	return c
}

func listGarbage(ctx context.Context, s settings.Settings, d *db.DB, w io.Writer) error {
	id, err := host.ReadID(s.Root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	found, err := garbage.Collector{
		HostID:      id,
		Versions:    s.Versions,
		Cache:       vpkcache.New(s.CacheDir(), nil, vpkcache.Options{}),
		Items:       workshop.NewStore(d, time.Now, jobstore.NewStore(d, time.Now)),
		OverlaysDir: s.OverlaysDir(),
	}.Find(ctx)
	if err != nil {
		return err
	}
	for _, l := range found.Linked {
		fmt.Fprintf(w, "would keep %s: %s, no overlay holds it, but %s leads to it\n", l.Name(), page.Bytes(l.Bytes()), l.Link)
	}
	for _, f := range found.Files {
		fmt.Fprintf(w, "would remove %s: %s, %s\n", f.Name(), page.Bytes(f.Bytes()), garbage.Reason(f))
	}
	_, err = fmt.Fprintf(w, "would remove %s, %s\n", page.Count(len(found.Files), "file"), page.Bytes(found.Bytes()))
	return err
}

// collectGarbage runs the job on this host.
func (o *options) collectGarbage(ctx context.Context, s settings.Settings, d *db.DB, out, stderr io.Writer) error {
	this, err := knownHost(ctx, "gc", s, d)
	if err != nil {
		return err
	}
	_, err = o.runJob(ctx, "gc", s, d, job.CollectGarbage, this.ID, this.ID, out, stderr)
	return err
}
