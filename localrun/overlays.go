package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"left4me/shared/list"
	"left4me/shared/route"
)

var overlays = noun{"overlay", route.OverlayList}

// overlayJSON is what commands show of an overlay.
type overlayJSON struct {
	named
	Type struct {
		Name string `json:"name"`
	} `json:"type"`
	OwnerName       string `json:"owner_name"`
	Items           int    `json:"items"`
	Size            uint64 `json:"size"`
	LastBuildStatus string `json:"last_build_status"`
}

// itemJSON is what commands show of an item.
type itemJSON struct {
	ID       int64  `json:"id"`
	SteamID  string `json:"steam_id"`
	Title    string `json:"title"`
	State    string `json:"state"`
	FileSize uint64 `json:"file_size"`
}

func overlaysCommand() *cobra.Command {
	var c caller
	g := c.group("overlay", "List, show, create, fill, build and export overlays",
		"List, show, create, fill, build and export overlays. An overlay is named by its id, or by its name if no other one has it.")
	list := &cobra.Command{
		Use:   "list",
		Short: "List the overlays",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.run(cmd, func(ctx context.Context, api *client) error {
				rows, err := api.rows(ctx, route.OverlayList.URL(), "overlays", list.Query{})
				if err != nil {
					return err
				}
				all, err := decode[overlayJSON](rows)
				if err != nil {
					return err
				}
				return c.print(cmd.OutOrStdout(), rows, func(w io.Writer) error { return printOverlays(w, all) })
			})
		},
	}
	show := c.overlayCommand("show OVERLAY", "Show an overlay with its items", oneArgument, func(ctx context.Context, api *client, cmd *cobra.Command, id int64, _ []string) error {
		rows, items, err := api.items(ctx, id)
		if err != nil {
			return err
		}
		var view map[string]any
		if _, err := api.get(ctx, route.OverlayShow.URL(id), &view); err != nil {
			return err
		}
		view["items"] = rows
		return c.print(cmd.OutOrStdout(), view, func(w io.Writer) error { return printItems(w, items) })
	})
	export := c.overlayCommand("export OVERLAY", "Print links to the items of an overlay, which `localrun overlay add` takes", oneArgument,
		func(ctx context.Context, api *client, cmd *cobra.Command, id int64, _ []string) error {
			rows, items, err := api.items(ctx, id)
			if err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), rows, func(w io.Writer) error {
				for _, i := range items {
					fmt.Fprintf(w, "https://steamcommunity.com/sharedfiles/filedetails/?id=%s\n", i.SteamID)
				}
				return nil
			})
		})
	g.AddCommand(list, show, c.createCommand(), c.addCommand(), c.removeCommand(), c.buildCommand(), export)
	return g
}

// overlayCommand is a command about the overlay that its first argument names.
func (c *caller) overlayCommand(use, short string, args cobra.PositionalArgs, do func(context.Context, *client, *cobra.Command, int64, []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: usage(args), ValidArgsFunction: c.names(overlays), RunE: c.about(overlays, do)}
}

// addFollow adds the flag to follow the job that a command has asked for.
func (c *caller) addFollow(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVarP(&c.followed, "follow", "f", false, "follow the job until it has ended")
	return cmd
}

func (c *caller) createCommand() *cobra.Command {
	var typeName string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create an overlay",
		Args:  usage(oneArgument),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd, func(ctx context.Context, api *client) error {
				d, answer, err := api.post(ctx, route.OverlayCreate.URL(), url.Values{"name": {args[0]}, "type": {typeName}})
				if err != nil {
					return err
				}
				d.Message = "created overlay " + strings.TrimPrefix(d.Location, route.OverlayShow.URL(""))
				return c.finish(ctx, api, cmd, d, answer, d.Location)
			})
		},
	}
	cmd.Flags().StringVar(&typeName, "type", "workshop", "the type: workshop or external")
	return c.addFollow(cmd)
}

func (c *caller) addCommand() *cobra.Command {
	return c.addFollow(c.overlayCommand("add OVERLAY [ITEM]...", "Add items: links or ids, also of collections; without any, those in standard input",
		cobra.MinimumNArgs(1), func(ctx context.Context, api *client, cmd *cobra.Command, id int64, args []string) error {
			input := strings.Join(args, "\n")
			if len(args) == 0 {
				text, err := io.ReadAll(io.LimitReader(bufio.NewReader(cmd.InOrStdin()), route.ItemAdd.MaxBody))
				if err != nil {
					return err
				}
				input = string(text)
			}
			d, answer, err := api.post(ctx, route.ItemAdd.URL(id), url.Values{"input": {input}})
			if err != nil {
				return err
			}
			return c.finish(ctx, api, cmd, d, answer, route.OverlayShow.URL(id))
		}))
}

func (c *caller) removeCommand() *cobra.Command {
	return c.addFollow(c.overlayCommand("remove OVERLAY ITEM...", "Remove items, by their Steam ids", cobra.MinimumNArgs(2),
		func(ctx context.Context, api *client, cmd *cobra.Command, id int64, args []string) error {
			_, items, err := api.items(ctx, id)
			if err != nil {
				return err
			}
			form := url.Values{}
			for _, steamID := range args {
				i := slices.IndexFunc(items, func(i itemJSON) bool { return i.SteamID == steamID })
				if i < 0 {
					return exitError{codeNotFound, fmt.Errorf("item %s is not in the overlay; nothing was changed", steamID)}
				}
				form.Add("item", strconv.FormatInt(items[i].ID, 10))
			}
			d, answer, err := api.post(ctx, route.ItemsRemove.URL(id), form)
			if err != nil {
				return err
			}
			return c.finish(ctx, api, cmd, d, answer, route.OverlayShow.URL(id))
		}))
}

func (c *caller) buildCommand() *cobra.Command {
	return c.addFollow(c.overlayCommand("build OVERLAY", "Build an overlay", oneArgument,
		func(ctx context.Context, api *client, cmd *cobra.Command, id int64, _ []string) error {
			d, answer, err := api.post(ctx, route.OverlayBuild.URL(id), nil)
			if err != nil {
				return err
			}
			return c.finish(ctx, api, cmd, d, answer, route.OverlayShow.URL(id))
		}))
}

// items returns all items of an overlay, as they came and decoded.
func (c *client) items(ctx context.Context, id int64) ([]json.RawMessage, []itemJSON, error) {
	rows, err := c.rows(ctx, route.OverlayShow.URL(id), "items", list.Query{})
	if err != nil {
		return nil, nil, err
	}
	items, err := decode[itemJSON](rows)
	return rows, items, err
}

// finish prints the answer to a form, and follows the job that it has asked for if that is wanted: the one that the answer leads to, or that
// the page at a path shows.
func (c *caller) finish(ctx context.Context, api *client, cmd *cobra.Command, d done, answer json.RawMessage, path string) error {
	isJob := strings.HasPrefix(d.Location, route.JobShow.URL(""))
	if d.Message == "" && isJob {
		d.Message = "job " + strings.TrimPrefix(d.Location, route.JobShow.URL(""))
	}
	if !c.followed || !c.json {
		err := c.print(cmd.OutOrStdout(), answer, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, d.Message)
			return err
		})
		if err != nil || !c.followed {
			return err
		}
	}
	if isJob {
		return c.follow(ctx, api, cmd, d.Location)
	}
	var view struct {
		Job named `json:"job"`
	}
	if _, err := api.get(ctx, path, &view); err != nil {
		return err
	}
	if view.Job.ID == 0 {
		return nil // nothing had to be done, or it is done
	}
	return c.follow(ctx, api, cmd, route.JobShow.URL(view.Job.ID))
}

func printOverlays(w io.Writer, all []overlayJSON) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tNAME\tTYPE\tOWNER\tITEMS\tSIZE\tLAST BUILD")
	for _, o := range all {
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%d\t%s\t%s\n", o.ID, o.Name, o.Type.Name, o.OwnerName, o.Items, humanize.IBytes(o.Size), o.LastBuildStatus)
	}
	return table.Flush()
}

func printItems(w io.Writer, items []itemJSON) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ITEM\tTITLE\tSIZE\tSTATE")
	for _, i := range items {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", i.SteamID, i.Title, humanize.IBytes(i.FileSize), i.State)
	}
	return table.Flush()
}
