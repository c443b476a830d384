package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"left4me/localrun/gateway"
	"left4me/localrun/lambdahost"
	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/route"
	"left4me/shared/settings"
)

func invokeCommand() *cobra.Command {
	var o options
	var event string
	c := &cobra.Command{
		Use:   "invoke NAME",
		Short: "Run one function once and print its answer",
		Long: `Run one function once and print its JSON answer.

The event of a page's function is a Function URL event of payload format 2.0. Without --event it is a plain GET request for the
page's path. The event of a job's function is {"job_id":N}: the function claims the job, or says what blocks it. The event of a
schedule's function is {"slot":"2026-11-21T04:00Z"}, or {} for now. That of a check's function is {"host":"ID"}.`,
		Example: `  localrun invoke healthz
  echo '{"job_id":7}' | localrun invoke build-overlay --event -`,
		Args: oneArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings()
			if err != nil {
				return err
			}
			function, err := findFunction(args[0])
			if err != nil {
				return err
			}
			payload, err := readEvent(cmd, s, function.Name, event)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(job.Runnable(), func(o job.Operation) bool { return o.Function == function.Name && o.Place == job.Disk }) {
				if err := withDatabase(func(s settings.Settings, d *db.DB) error {
					_, err := knownHost(cmd.Context(), "invoke", s, d)
					return err
				}); err != nil {
					return err
				}
			}
			host, err := o.newHost(s, []lambdahost.Function{function}, 1, newLog(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			answer, err := host.Invoke(cmd.Context(), function.Name, uuid.NewString(), payload)
			if err == nil {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(string(answer.Payload)))
			}
			return errors.Join(err, host.Shutdown(cmd.Context()))
		},
	}
	c.Flags().StringVar(&event, "event", "", "file with the event, - for standard input")
	o.addFunctionsFlag(c)
	return c
}

func findFunction(name string) (lambdahost.Function, error) {
	for _, f := range slices.Concat(pageFunctions(), jobFunctions(1), scheduleFunctions(), checkFunctions()) {
		if f.Name == name {
			return f, nil
		}
	}
	return lambdahost.Function{}, fmt.Errorf("there is no function %s: see localrun routes", name)
}

// readEvent reads the event from a file. Without a file, it returns a request for the page, whose path must have no wildcards.
func readEvent(cmd *cobra.Command, s settings.Settings, function, file string) ([]byte, error) {
	switch file {
	case "-":
		return io.ReadAll(io.LimitReader(cmd.InOrStdin(), lambdahost.MaxPayload+1))
	case "":
		for _, r := range route.All() {
			if r.Name == function && r.Method == http.MethodGet && !strings.Contains(strings.TrimSuffix(r.Pattern, "{$}"), "{") {
				request, err := http.NewRequestWithContext(cmd.Context(), r.Method, s.PublicURL.String()+r.URL(), nil)
				if err != nil {
					return nil, err
				}
				request.RemoteAddr = "127.0.0.1:0"
				return gateway.Event(request, nil, function, uuid.NewString(), time.Now())
			}
		}
		return nil, fmt.Errorf("%s needs an event: name a file with --event, or - for standard input", function)
	}
	return os.ReadFile(file)
}
