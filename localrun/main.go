// Command localrun runs left4me on the game host: it serves the pages, claims and runs the jobs, and maintains the database.
// Pages and jobs are the same function binaries that run on AWS Lambda.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/problem"
	"left4me/shared/settings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	waits := func(why error) { say(journalWarning, "waiting for the database server: "+why.Error()) }
	if err := command().ExecuteContext(db.WithWaits(ctx, waits)); err != nil {
		say(journalError, message(err))
		code := 1
		if coded, ok := errors.AsType[exitError](err); ok {
			code = coded.code
		}
		os.Exit(code)
	}
}

// say writes lines for people to stderr. level is for systemd's journal.
func say(level, text string) {
	text = "localrun: " + text
	if isJournal(os.Stderr) {
		text = level + strings.ReplaceAll(text, "\n", "\n"+level)
	}
	fmt.Fprintln(os.Stderr, text)
}

// message returns err's text for the terminal: one line per joined error, and only the sentence of a problem.
func message(err error) string {
	if p, ok := problem.As(err); ok {
		return p.Sentence
	}
	return strings.ReplaceAll(err.Error(), "\n", "\nlocalrun: ")
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "localrun",
		Short: "Run left4me on this host",
		Long: `localrun runs left4me on this host: the pages and the jobs.

Settings come from the environment: LEFT4ME_ROOT, DATABASE_URL, LEFT4ME_LISTEN, PUBLIC_URL and the others in README.md.`,
		Version:       fn.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("left4me {{.Version}}\n")
	root.AddCommand(upCommand(), serveCommand(), agentCommand(), invokeCommand(), migrateCommand(), routesCommand(),
		createUserCommand(), promoteAdminCommand(), setPasswordCommand(), workshopRefreshCommand(), gcCommand(), installCommand(), steamLoginCommand(), backupCommand(), restoreCommand(), hostsCommand(), overlaysCommand(), jobsCommand(), serversCommand(), doctorCommand(), fsckCommand(),
		runServerCommand(), endServerCommand(), keepServerCommand(), holdNamespaceCommand(), tryNamespacesCommand(),
		versionCommand(), manualCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), "left4me", fn.Version)
		},
	}
}

// oneArgument accepts exactly one argument. The error says how the command is used.
func oneArgument(c *cobra.Command, args []string) error {
	_, name, _ := strings.Cut(c.Use, " ")
	switch {
	case len(args) == 0:
		return fmt.Errorf("%s needs a %s: %s", c.Name(), name, c.UseLine())
	case len(args) > 1:
		return fmt.Errorf("%s takes only one %s, not %s: %s", c.Name(), name, strings.Join(args, " "), c.UseLine())
	}
	return nil
}

// loadSettings reads the settings from the environment, and warns about variables without effect.
func loadSettings() (settings.Settings, error) {
	s, err := settings.Load(os.Getenv)
	if err == nil {
		own := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, tokenVariable+"=") })
		for _, sentence := range s.Warnings(own) {
			say(journalWarning, "warning: "+sentence)
		}
	}
	return s, err
}

// openDatabase opens the database. It creates a missing file and its directory, so that only the owner can read the file, which
// has the hashes of passwords.
func openDatabase(s settings.Settings) (*db.DB, error) {
	if path := db.FilePath(s.DatabaseURL); path != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, fmt.Errorf("make the database's directory: %w", err)
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			err = fmt.Errorf("open the database: %w", err)
			if errors.Is(err, unix.EROFS) {
				err = fmt.Errorf("%w; a systemd unit needs ReadWritePaths=%s for that", err, filepath.Dir(path))
			}
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return db.Open(s.DatabaseURL, s.DatabaseAuthToken)
}

// withDatabase runs do with the settings and the database, for commands that need no functions.
func withDatabase(do func(settings.Settings, *db.DB) error) error {
	s, err := loadSettings()
	if err != nil {
		return err
	}
	d, err := openDatabase(s)
	if err != nil {
		return err
	}
	return errors.Join(do(s, d), d.Close())
}
