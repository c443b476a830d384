package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"left4me/localrun/backup"
	"left4me/shared/db"
	"left4me/shared/db/dbfile"
	"left4me/shared/settings"
	"left4me/templates/page"
)

// errServer is the answer where the database is not a file.
var errServer = errors.New(settings.DatabaseURL + " names a libSQL server, and this is about a database in a file. Make and restore backups with that server's own means")

func backupCommand() *cobra.Command {
	var force, ifExists bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write all that is in the database to a file",
		Long: `Write all that is in the embedded database, as it is at one moment, to a file for localrun restore. left4me may be
running. The file is checked, and readable by its owner only: it has the hashes of passwords. With - for FILE it goes to
standard output.

The database may be of an older or a newer left4me. A backup has people, overlays, items, jobs and their logs. It has no
workshop files, which builds download again, and not what people have put into the directories of external overlays
(LEFT4ME_ROOT/overlays): copy those yourself. Where the database is on a libSQL server, use that server's own backups.`,
		Example: `  localrun backup /var/backups/left4me/$(date +%F).db
  localrun backup - | ssh elsewhere 'cat > left4me.db'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings()
			if err != nil {
				return err
			}
			path := db.FilePath(s.DatabaseURL)
			if path == "" {
				if ifExists {
					fmt.Fprintf(cmd.ErrOrStderr(), "nothing to back up here: %s names a libSQL server\n", settings.DatabaseURL)
					return nil
				}
				return errServer
			}
			var c backup.Contents
			said, where := cmd.OutOrStdout(), args[0]
			if where == "-" {
				said, where = cmd.ErrOrStderr(), "to standard output"
				c, err = backup.To(cmd.Context(), path, cmd.OutOrStdout())
			} else {
				if where, err = filepath.Abs(where); err == nil {
					c, err = backup.ToFile(cmd.Context(), path, where, force)
				}
				err = refused(err, path, fmt.Sprintf("localrun backup - > %s", args[0]))
			}
			if errors.Is(err, backup.ErrNothing) {
				if ifExists {
					fmt.Fprintf(cmd.ErrOrStderr(), "nothing to back up: %v at %s\n", err, path)
					return nil
				}
				return fmt.Errorf("%w at %s", err, path)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(said, "wrote %s: %s\n", where, describe(c))
			return err
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	c.Flags().BoolVar(&ifExists, "if-exists", false, "where there is no database file yet, or the database is on a server: say so and succeed")
	return c
}

func restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the database",
		Long: `Put a backup that localrun backup has made in the place of the embedded database; - for FILE reads it from standard
input. left4me must be stopped. The database of before stays beside it under another name. The backup is checked first, and
migrated if it is of an older left4me; one of a newer left4me is refused. Until all is done, the database is as it was.

Afterwards everybody has to sign in again. Every overlay waits for a build, which makes its directory, links and files agree with
what the backup says as soon as left4me runs. Directories of overlays that the backup does not know stay as they are, and
are listed. What was in external overlays is not in a backup: if it is lost, put it back by hand.`,
		Example: `  systemctl stop 'left4me-*'
  localrun restore /var/backups/left4me/2026-11-21.db
  systemctl start left4me-web left4me-agent`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings()
			if err != nil {
				return err
			}
			path := db.FilePath(s.DatabaseURL)
			if path == "" {
				return errServer
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				return fmt.Errorf("make the database's directory: %w", err)
			}
			from, name := cmd.InOrStdin(), "standard input"
			if args[0] != "-" {
				name = args[0]
				f, err := openBackup(name)
				if err != nil {
					return refused(err, path, "localrun restore - < "+name)
				}
				defer f.Close()
				from = f
			}
			done, err := backup.Restore{Path: path, OverlaysDir: s.OverlaysDir(), Now: time.Now}.From(cmd.Context(), from, name)
			if used, ok := errors.AsType[*dbfile.InUseError](err); ok {
				return fmt.Errorf("%w. Stop left4me (systemctl stop 'left4me-*', or end `localrun up`) and restore again; nothing was changed", used)
			}
			if err != nil {
				return err
			}
			tell(cmd.OutOrStdout(), name, done)
			return nil
		},
	}
}

// refused adds to the error that this user may not read or write a backup's file what does it with the rights of the shell:
// on a host with packages, localrun does not keep those of root. Errors about the database itself stay as they are.
func refused(err error, database, instead string) error {
	at, ok := errors.AsType[*fs.PathError](err)
	if !ok || !errors.Is(at, fs.ErrPermission) || strings.HasPrefix(at.Path, database) {
		return err
	}
	who := fmt.Sprintf("user %d", os.Getuid())
	if u, uerr := user.Current(); uerr == nil {
		who = "the user " + u.Username
	}
	return fmt.Errorf("%w for %s. Name another place, or have your shell open it: %s", err, who, instead)
}

// openBackup opens a backup's file, unless a part of it is in another one.
func openBackup(path string) (*os.File, error) {
	if alone, err := dbfile.Alone(path); err != nil {
		return nil, err
	} else if !alone {
		return nil, fmt.Errorf("%s is not a whole database: part of it is in the file -wal or -journal beside it. Make a backup of it with `localrun backup`", path)
	}
	return os.Open(path)
}

func tell(w io.Writer, name string, done backup.Restored) {
	printSteps(w, "applied", done.Migrations)
	fmt.Fprintf(w, "restored %s: %s\n", name, describe(done.Contents))
	if done.Previous != "" {
		fmt.Fprintf(w, "the database of before is %s\n", done.Previous)
	}
	fmt.Fprintf(w, "when left4me starts: %s to build, %s to go on; %s ended, everybody signs in again\n",
		page.Count(done.Builds, "overlay"), page.Count(done.Jobs, "job"), page.Count(done.Sessions, "session"))
	if len(done.Unknown) > 0 {
		fmt.Fprintf(w, "of no overlay in the backup, and left as they are, in overlays: %s\n", strings.Join(done.Unknown, ", "))
	}
}

func describe(c backup.Contents) string {
	return fmt.Sprintf("%s, %s, %s, %s", page.Bytes(c.Bytes), page.Count(c.People, "user"), page.Count(c.Overlays, "overlay"), page.Count(c.Items, "workshop item"))
}
