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
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password := account.RandomPassword()
			if stdin {
				line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), account.MaxPassword+2)).ReadString('\n')
				if err != nil && !errors.Is(err, io.EOF) {
					return fmt.Errorf("read the password: %w", err)
				}
				password = strings.TrimRight(line, "\r\n")
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
	c.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the first line of standard input")
	return c
}

func promoteAdminCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "promote-admin NAME",
		Short: "Make a person an administrator",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withDatabase(func(_ settings.Settings, d *db.DB) error {
				err := account.NewStore(d, time.Now).Promote(cmd.Context(), args[0])
				if errors.Is(err, account.ErrNoUser) {
					return fmt.Errorf("there is no user named %s", args[0])
				}
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is an administrator\n", args[0])
				return nil
			})
		},
	}
}
