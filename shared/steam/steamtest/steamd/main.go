// Command steamd serves a stand-in for Steam: alone, or for the time that another program runs with it. It makes
// demonstrations and whole-program tests possible without internet. What the stand-in is and how it is told to misbehave
// is package steamtest's; this program adds the address, the demonstration's catalog and the processes.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"left4me/shared/game/gametest"
	"left4me/shared/steam/steamtest"
)

//go:embed demo.catalog
var demoCatalog string

// demoGame is the game of a demonstration: large enough for its progress to be seen.
const demoGame = "size 400MiB\nrate 40MiB"

func main() {
	err := command().Execute()
	if exit, ok := errors.AsType[exitError](err); ok {
		os.Exit(int(exit))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "steamd:", err)
		os.Exit(1)
	}
}

// exitError is the status of the command that was run.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("the command ended with status %d", int(e)) }

func command() *cobra.Command {
	var listen, catalogFile string
	var demo bool
	root := &cobra.Command{
		Use:   "steamd [flags] [-- command args...]",
		Short: "Serve a stand-in for Steam",
		Long: `Serve a stand-in for Steam: Web API, content, preview pictures and SteamCMD, all on one loopback address. The programs steamcmd
and srcds of the same directory are its SteamCMD and the game.

With a command, the command runs with STEAM_API_URL, STEAM_CDN_HOSTS, STEAMCMD_URL and LEFT4ME_EXAMPLES (links to paste, one a line) in its
environment; interrupts are passed on to it, and its exit status becomes steamd's. Without one, the settings are printed
and the stand-in serves until it is interrupted.`,
		Example: `  steamd --demo -- bin/localrun up
  steamd --catalog test.catalog --listen 127.0.0.1:7000
  steamd tell 'content/101 cut=100000 times=1'   # in the command, or with STEAM_API_URL set`,
		Args:          cobra.ArbitraryArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			var catalogs []string
			if demo {
				catalogs = append(catalogs, demoCatalog)
			}
			if catalogFile != "" {
				text, err := os.ReadFile(catalogFile)
				if err != nil {
					return err
				}
				catalogs = append(catalogs, string(text))
			}
			return serve(cmd, listen, catalogs, demo, args)
		},
	}
	root.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address to serve, port 0 for any free one")
	root.Flags().StringVar(&catalogFile, "catalog", "", "file with the catalog's items, collections and faults")
	root.Flags().BoolVar(&demo, "demo", false, "add the demonstration's catalog, and print what to paste")
	root.AddCommand(
		&cobra.Command{
			Use:   "tell COMMAND...",
			Short: "Change the catalog of the running stand-in at STEAM_API_URL, or make it misbehave",
			Args:  cobra.MinimumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return ask(cmd, http.MethodPost, "/control", strings.Join(args, "\n"))
			},
		},
		&cobra.Command{
			Use:   "game COMMAND...",
			Short: "Change the game of the running stand-in at STEAM_API_URL, or make its SteamCMD misbehave",
			Args:  cobra.MinimumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return ask(cmd, http.MethodPost, gametest.ControlPath, strings.Join(args, "\n"))
			},
		},
		&cobra.Command{
			Use:   "play PORT COMMAND...",
			Short: "Have players join or leave the running stand-in for a game server at a port of 127.0.0.1, or make it misbehave",
			Args:  cobra.MinimumNArgs(2),
			RunE: func(_ *cobra.Command, args []string) error {
				server, err := netip.ParseAddrPort("127.0.0.1:" + args[0])
				if err != nil {
					return err
				}
				return gametest.TellGame(server, strings.Join(args[1:], "\n"))
			},
		},
		&cobra.Command{
			Use:   "game-runs",
			Short: "Print the arguments of all runs of SteamCMD with the running stand-in at STEAM_API_URL, one run a line",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return ask(cmd, http.MethodGet, gametest.RunsPath, "")
			},
		},
		&cobra.Command{
			Use:   "requests",
			Short: "Print what the running stand-in at STEAM_API_URL was asked, one request a line",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return ask(cmd, http.MethodGet, "/requests", "") },
		},
	)
	return root
}

// ask sends one question to the running stand-in and prints the answer.
func ask(cmd *cobra.Command, method, path, body string) error {
	base := os.Getenv("STEAM_API_URL")
	if base == "" {
		return errors.New("STEAM_API_URL is not set")
	}
	req, err := http.NewRequestWithContext(cmd.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(answer)))
	}
	_, err = cmd.OutOrStdout().Write(answer)
	return err
}

func serve(cmd *cobra.Command, listen string, catalogs []string, demo bool, args []string) error {
	// Caught from the start, so that an early interrupt does not orphan the command.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	fake := steamtest.New()
	for _, catalog := range catalogs {
		if err := fake.Do(catalog); err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	game := gametest.New(filepath.Dir(self))
	if demo {
		if err := game.Do(demoGame); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/", fake)
	mux.Handle("/game/", game)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer server.Close()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()

	env := []string{
		"STEAM_API_URL=http://" + listener.Addr().String(),
		"STEAM_CDN_HOSTS=" + listener.Addr().String(),
		"STEAMCMD_URL=http://" + listener.Addr().String() + gametest.Archive,
	}
	out := cmd.OutOrStdout()
	if demo {
		fmt.Fprint(out, paste(fake))
	}
	if len(args) == 0 {
		fmt.Fprintln(out, strings.Join(env, "\n"))
		select {
		case <-signals:
			return nil
		case err := <-failed:
			return err
		}
	}
	env = append(env, "LEFT4ME_EXAMPLES="+strings.Join(links(fake), "\n"))
	return run(cmd.Context(), args, env, signals)
}

// run runs a program until it ends by itself, passing signals on.
func run(ctx context.Context, args, env []string, signals <-chan os.Signal) error {
	child := exec.CommandContext(ctx, args[0], args[1:]...)
	child.Env = append(os.Environ(), env...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	// In a group of its own the terminal's Ctrl-C reaches it once, through us, and not twice.
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	for {
		select {
		case s := <-signals:
			// It fails only if the child has ended, which the other case tells.
			_ = child.Process.Signal(s)
		case err := <-ended:
			return status(err)
		}
	}
}

// status is what a shell would make of a program's end.
func status(err error) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return exitError(128 + int(ws.Signal()))
	}
	return exitError(exit.ExitCode())
}

// links are the items' and collections' pages on Steam, as people paste them.
func links(fake *steamtest.Server) []string {
	items, collections := fake.IDs()
	var links []string
	for _, id := range slices.Concat(items, collections) {
		links = append(links, "https://steamcommunity.com/sharedfiles/filedetails/?id="+id)
	}
	return links
}

// paste is the text that tells a person what to do with the demonstration.
func paste(fake *steamtest.Server) string {
	items, collections := fake.IDs()
	all := links(fake)
	var b strings.Builder
	b.WriteString("\n  A stand-in for Steam is running: nothing here needs the internet.\n" +
		"  Make a workshop overlay and paste one or more of these links into it.\n\n  Items:\n")
	for i, id := range items {
		item, _ := fake.Item(id)
		fmt.Fprintf(&b, "    %s  %s, %s\n", all[i], item.Title, humanize.IBytes(uint64(item.Size)))
	}
	b.WriteString("\n  Collections:\n")
	for i, id := range collections {
		collection, _ := fake.Collection(id)
		fmt.Fprintf(&b, "    %s  %s\n", all[len(items)+i], collection.Title)
	}
	b.WriteString("\n")
	return b.String()
}
