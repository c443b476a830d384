package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"left4me/shared/game/launch"
	"left4me/shared/settings"
)

// serverCommand returns a hidden command about the game server whose id is its argument. Of the settings it needs only LEFT4ME_ROOT: a game that
// has crashed is started again even if another setting has become wrong.
func serverCommand(name, short string, run func(cmd *cobra.Command, root string, id int64) error) *cobra.Command {
	return &cobra.Command{
		Use:    name + " ID",
		Short:  short,
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return fmt.Errorf("%q is not the id of a server", args[0])
			}
			root, err := settings.RootDir(os.Getenv)
			if err != nil {
				return err
			}
			return run(cmd, root, id)
		},
	}
}

func runServerCommand() *cobra.Command {
	return serverCommand(launch.Command, "Become the game of a server; left4me-server@.service runs this", func(_ *cobra.Command, root string, id int64) error {
		return launch.Run(root, id)
	})
}

func endServerCommand() *cobra.Command {
	return serverCommand(launch.EndCommand, "Write to the console of a server that its game has ended; left4me-server@.service runs this", func(_ *cobra.Command, root string, id int64) error {
		return launch.Ended(root, id, os.Getenv)
	})
}

func keepServerCommand() *cobra.Command {
	return serverCommand(launch.KeepCommand, "Keep the game of a server running on a host without systemd", func(cmd *cobra.Command, root string, id int64) error {
		err := launch.Keep(root, id, func() {
			fmt.Fprintln(cmd.OutOrStdout(), launch.Started)
			_ = os.Stdout.Close() // the process that has started this one waits for the end
		})
		if errors.Is(err, launch.ErrKept) {
			fmt.Fprintln(cmd.OutOrStdout(), launch.Started)
			return nil
		}
		if err != nil {
			fmt.Fprintln(cmd.OutOrStdout(), err)
		}
		return err
	})
}

func tryNamespacesCommand() *cobra.Command {
	return &cobra.Command{
		Use:    launch.TryCommand,
		Short:  "Try to mount what a server needs",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(*cobra.Command, []string) error { return launch.Try() },
	}
}

func holdNamespaceCommand() *cobra.Command {
	return &cobra.Command{
		Use:    launch.HoldCommand,
		Short:  "Wait until the input ends",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.Copy(io.Discard, cmd.InOrStdin())
			return err
		},
	}
}
