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

// errServer is the error if the database is not a file.
var errServer = errors.New(settings.DatabaseURL + " names a libSQL server, and this is about a database in a file. Make and restore backups with that server's own means")

func backupCommand() *cobra.Command {
	var force, ifExists bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a copy of the database to a file",
		Long: `Write a consistent copy of the embedded database to a file for localrun restore. left4me may be running. The copy is checked.
Only its owner can read it, because it has the hashes of passwords. With - for FILE it goes to standard output.

The database may be of an older or a newer left4me. A backup has people, overlays, items, jobs and their logs. It does not have
workshop files, which builds download again, nor the files in the directories of external overlays (LEFT4ME_ROOT/overlays):
copy those yourself. For a database on a libSQL server, use that server's own backups.`,
		Example: `  localrun backup /var/backups/left4me/$(date +%F).db
  localrun backup - | ssh elsewhere 'cat > left4me.db'`,
		Args: oneArgument,
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
			out, target := cmd.OutOrStdout(), args[0]
			if target == "-" {
				out, target = cmd.ErrOrStderr(), "to standard output"
				c, err = backup.To(cmd.Context(), path, cmd.OutOrStdout())
			} else {
				if target, err = filepath.Abs(target); err == nil {
					c, err = backup.ToFile(cmd.Context(), path, target, force)
				}
				err = explainPermission(err, path, fmt.Sprintf("localrun backup - > %s", args[0]))
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
			_, err = fmt.Fprintf(out, "wrote %s: %s\n", target, describe(c))
			return err
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace FILE if it exists")
	c.Flags().BoolVar(&ifExists, "if-exists", false, "succeed with a message if there is no database file yet, or the database is on a server")
	return c
}

func restoreCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the database with a backup",
		Long: `Replace the embedded database with a backup from localrun backup. With - for FILE the backup is read from standard input.
left4me must be stopped. The previous database stays beside the new one under another name. The backup is checked first, and
migrated if it is of an older left4me; a backup of a newer left4me is refused. If anything fails, the database is unchanged.

Afterwards everybody has to sign in again. Every overlay has a queued build, which makes its directory, links and files match the
backup as soon as left4me runs. Directories of overlays and servers that are not in the backup stay unchanged, and are listed. The files
in external overlays, and what game servers wrote, are not in a backup: if they are lost, copy them back yourself.`,
		Example: `  systemctl stop left4me-web left4me-agent
  localrun restore /var/backups/left4me/2026-11-21.db
  systemctl start left4me-web left4me-agent`,
		Args: oneArgument,
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
					return explainPermission(err, path, "localrun restore - < "+name)
				}
				defer f.Close()
				from = f
			}
			done, err := backup.Restore{Path: path, Root: s.Root, Now: time.Now}.From(cmd.Context(), from, name)
			if used, ok := errors.AsType[*dbfile.InUseError](err); ok {
				return fmt.Errorf("%w. Stop left4me (systemctl stop left4me-web left4me-agent, or end `localrun up`) and restore again; nothing was changed", used)
			}
			if err != nil {
				return err
			}
			printRestored(cmd.OutOrStdout(), name, done)
			return nil
		},
	}
}

// explainPermission adds advice to a permission error for a backup's file: name another file, or let the shell open it with the
// command instead, because the packaged localrun drops root's rights. It does not change errors about the database itself.
func explainPermission(err error, database, instead string) error {
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

// openBackup opens a backup's file. It fails if a part of the backup is in a -wal or -journal file.
func openBackup(path string) (*os.File, error) {
	if alone, err := dbfile.Alone(path); err != nil {
		return nil, err
	} else if !alone {
		return nil, fmt.Errorf("%s is not a whole database: part of it is in the file -wal or -journal beside it. Make a backup of it with `localrun backup`", path)
	}
	return os.Open(path)
}

func printRestored(w io.Writer, name string, done backup.Restored) {
	printSteps(w, "applied", done.Migrations)
	fmt.Fprintf(w, "restored %s: %s\n", name, describe(done.Contents))
	if done.Previous != "" {
		fmt.Fprintf(w, "the database of before is %s\n", done.Previous)
	}
	fmt.Fprintf(w, "when left4me starts: %s to build, %s to go on; %s ended, everybody signs in again\n",
		page.Count(done.Builds, "overlay"), page.Count(done.Jobs, "job"), page.Count(done.Sessions, "session"))
	if len(done.Unknown) > 0 {
		fmt.Fprintf(w, "of no overlay or server in the backup, and left as they are, in LEFT4ME_ROOT: %s\n", strings.Join(done.Unknown, ", "))
	}
}

func describe(c backup.Contents) string {
	return fmt.Sprintf("%s, %s, %s, %s", page.Bytes(c.Bytes), page.Count(c.People, "user"), page.Count(c.Overlays, "overlay"), page.Count(c.Items, "workshop item"))
}
