package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"left4me/shared/account"
	"left4me/shared/db"
	"left4me/shared/settings"
)

func createUserCommand() *cobra.Command {
	var admin, stdin bool
	c := &cobra.Command{
		Use:   "create-user NAME",
		Short: "Create a person who may sign in",
		Long: `Create a person who may sign in. Without --password-stdin it prints a random password.

The database must exist and be current: see localrun migrate.`,
		Example: `  localrun create-user anna
  printf '%s\n' "$PASSWORD" | localrun create-user bert --admin --password-stdin`,
		Args: oneArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := newPassword(cmd, stdin)
			if err != nil {
				return err
			}
			return withDatabase(func(_ settings.Settings, d *db.DB) error {
				u, err := account.NewStore(d, time.Now).Create(cmd.Context(), args[0], password, admin)
				if err != nil {
					return err
				}
				kind := "user"
				if admin {
					kind = "administrator"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "created %s %s\n", kind, u.Name)
				if !stdin {
					fmt.Fprintf(cmd.OutOrStdout(), "password: %s\n", password)
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&admin, "admin", false, "make them an administrator")
	addPasswordFlag(c, &stdin)
	return c
}

func addPasswordFlag(c *cobra.Command, stdin *bool) {
	c.Flags().BoolVar(stdin, "password-stdin", false, "read the password from the first line of standard input")
}

// newPassword returns the password in the first line of standard input, or a random one.
func newPassword(cmd *cobra.Command, stdin bool) (string, error) {
	if !stdin {
		return account.RandomPassword(), nil
	}
	line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), account.MaxPassword+2)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func setPasswordCommand() *cobra.Command {
	var stdin bool
	c := &cobra.Command{
		Use:   "set-password NAME",
		Short: "Give a person a new password, such as one who has forgotten it",
		Long: `Give a person a new password, and end their sessions. Without --password-stdin it prints a random password.

An administrator does the same for others at /admin/users; this is the way back in for the last administrator.`,
		Example: `  localrun set-password admin
  printf '%s\n' "$PASSWORD" | localrun set-password anna --password-stdin`,
		Args: oneArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := newPassword(cmd, stdin)
			if err != nil {
				return err
			}
			return withDatabase(func(_ settings.Settings, d *db.DB) error {
				p, err := account.NewStore(d, time.Now).SetPassword(cmd.Context(), args[0], password)
				if err != nil {
					return explainNoUser(err, args[0])
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s has a new password, and is signed out everywhere\n", p.Name)
				if p.Disabled {
					fmt.Fprintf(cmd.OutOrStdout(), "%s is disabled: an administrator enables them at /admin/users\n", p.Name)
				}
				if !stdin {
					fmt.Fprintf(cmd.OutOrStdout(), "password: %s\n", password)
				}
				return nil
			})
		},
	}
	addPasswordFlag(c, &stdin)
	return c
}

// explainNoUser puts account.ErrNoUser into words for the person at the terminal.
func explainNoUser(err error, name string) error {
	if errors.Is(err, account.ErrNoUser) {
		return fmt.Errorf("there is no user named %s", name)
	}
	return err
}

func promoteAdminCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "promote-admin NAME",
		Short: "Make a person an administrator",
		Args:  oneArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withDatabase(func(_ settings.Settings, d *db.DB) error {
				if err := account.NewStore(d, time.Now).Promote(cmd.Context(), args[0]); err != nil {
					return explainNoUser(err, args[0])
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is an administrator\n", args[0])
				return nil
			})
		},
	}
}
