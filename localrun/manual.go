package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"left4me/shared/fn"
)

// manualCommand is used by `make install`.
func manualCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "manual DIRECTORY",
		Short:  "Write the manual pages, one for each command",
		Hidden: true,
		Args:   oneArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("write the manual: %w", err)
			}
			// cobra takes the date from SOURCE_DATE_EPOCH, if it is set.
			header := &doc.GenManHeader{Section: "8", Source: "left4me " + fn.Version, Manual: "left4me"}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("write the manual: %w", err)
			}
			return nil
		},
	}
}
