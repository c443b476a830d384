// Command libsqld serves an SQLite file as a libSQL server, to try left4me with a database server on one machine. It runs the
// test server of package dbtest.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"left4me/shared/db/dbtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "libsqld:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var listen, file, token string
	root := &cobra.Command{
		Use:   "libsqld --file FILE",
		Short: "Serve an SQLite file as a libSQL server",
		Long:  "Serve an SQLite file as a libSQL server until interrupted. It prints the DATABASE_URL for left4me.",
		Example: `  libsqld --file /tmp/left4me.db
  libsqld tell 'drop after times=1 sql=COMMIT'   # with DATABASE_URL set`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), cmd.OutOrStdout(), listen, file, token)
		},
	}
	root.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address to serve, port 0 for any free one")
	root.Flags().StringVar(&file, "file", "", "the database, created if it does not exist")
	root.Flags().StringVar(&token, "token", "", "require this DATABASE_AUTH_TOKEN")
	_ = root.MarkFlagRequired("file") // fails only without such a flag
	root.AddCommand(&cobra.Command{
		Use:   "tell COMMAND...",
		Short: "Add faults to the running server at DATABASE_URL",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return tell(cmd.Context(), strings.Join(args, "\n")) },
	})
	return root
}

func serve(ctx context.Context, out io.Writer, listen, file, token string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	s, err := dbtest.NewServer(file)
	if err != nil {
		return err
	}
	defer s.Close()
	s.Token = token
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	web := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	fmt.Fprintf(out, "DATABASE_URL=http://%s\n", listener.Addr())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer stop()
	if err := web.Shutdown(ctx); err != nil {
		return web.Close()
	}
	return nil
}

func tell(ctx context.Context, commands string) error {
	base := os.Getenv("DATABASE_URL")
	if base == "" {
		return errors.New("DATABASE_URL is not set")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/control", strings.NewReader(commands))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(answer)))
	}
	return err
}
