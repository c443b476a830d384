package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"left4me/localrun/gateway"
	"left4me/shared/account"
	"left4me/shared/api"
	"left4me/shared/db"
	"left4me/shared/list"
	"left4me/shared/route"
	"left4me/shared/settings"
)

// Exit codes of the commands that are programs of the API. Anything else that fails is 1.
const (
	codeUsage = iota + 2
	codeNotFound
	codeForbidden
	codeRefused
	codeLater
	codeJobFailed
	codeJobCancelled
)

// exitCodes documents them.
const exitCodes = `Exit codes: 0 it is done; 1 it failed; 2 the command is wrong; 3 there is no such thing; 4 it is not allowed; 5 it was refused for what was
asked; 6 try again later; 7 the job failed; 8 the job was cancelled.`

// exitError is an error with the exit code of the process.
type exitError struct {
	code int
	error
}

func (e exitError) Unwrap() error { return e.error }

// tokenVariable has the token for another panel.
const tokenVariable = "LEFT4ME_TOKEN"

// caller has the flags of the commands that are programs of the API.
type caller struct {
	options
	url, as        string
	json, followed bool
}

// group is a command whose subcommands have the flags.
func (c *caller) group(use, short, long string) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Long: long + `

Without --url the commands act on this host's database, as the first administrator or the person named by --as; it must be current: see
localrun migrate. With --url they act on another left4me, with the token in ` + tokenVariable + `, which its account page makes.

` + exitCodes}
	f := g.PersistentFlags()
	f.BoolVar(&c.json, "json", false, "print the JSON of the API, which GET /api describes")
	f.StringVar(&c.url, "url", "", "another left4me, such as https://left4me.example.org")
	f.StringVar(&c.as, "as", "", "the person to act as on this host")
	f.StringVar(&c.functions, "functions", "", "directory of the function binaries (default functions/ beside localrun)")
	g.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exitError{codeUsage, err} })
	return g
}

// usage makes the error about arguments one of usage.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return exitError{codeUsage, err}
		}
		return nil
	}
}

// client is a program of the API.
type client struct {
	base   string
	header http.Header
	http   http.Client
}

// run calls do with a client: of the panel at --url, or of the functions of this host, which it starts for that.
func (c *caller) run(cmd *cobra.Command, do func(context.Context, *client) error) error {
	if c.url != "" {
		token := os.Getenv(tokenVariable)
		if token == "" {
			return exitError{codeUsage, fmt.Errorf("--url needs a token in %s: make one on the page %s%s", tokenVariable, c.url, route.Account.URL())}
		}
		return do(cmd.Context(), newClient(strings.TrimSuffix(c.url, "/"), token, http.DefaultTransport))
	}
	return withDatabase(func(s settings.Settings, d *db.DB) (err error) {
		ctx, log := cmd.Context(), slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))
		if err := checkCurrent(ctx, d, log); err != nil {
			return err
		}
		accounts := account.NewStore(d, time.Now)
		u, err := accounts.Acting(ctx, c.as)
		if errors.Is(err, account.ErrNoUser) {
			return exitError{codeNotFound, fmt.Errorf("nobody named %q may sign in: see localrun create-user", c.as)}
		}
		if err != nil {
			return err
		}
		token, err := accounts.CreateToken(ctx, u, "localrun on "+s.Host, 1, true)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, revoke(context.WithoutCancel(ctx), accounts, token)) }()
		functions, err := c.newHost(s, pageFunctions(), 1, log)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, shutdown(ctx, functions)) }()
		pages, err := gateway.New(gateway.Config{
			Routes: route.All(), Functions: functions, ErrorPage: errorPage, Limits: gateway.DefaultLimits(), Log: log, Now: time.Now,
		})
		if err != nil {
			return err
		}
		here := newClient(s.PublicURL.String(), token, handlerTransport{pages})
		if s.OriginSecret != "" {
			here.header.Set(route.OriginSecretHeader, s.OriginSecret)
		}
		return do(ctx, here)
	})
}

// revoke ends a token that this process has made.
func revoke(ctx context.Context, accounts *account.Store, token string) error {
	u, t, err := accounts.ByToken(ctx, token)
	if err == nil {
		_, err = accounts.RevokeToken(ctx, u.ID, t.ID)
	}
	return err
}

func newClient(base, token string, transport http.RoundTripper) *client {
	header := http.Header{"Accept": {api.JSON}, "Authorization": {"Bearer " + token}}
	return &client{base: base, header: header, http: http.Client{Transport: transport, Timeout: time.Minute}}
}

// handlerTransport calls a handler without a network.
type handlerTransport struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &memoryWriter{header: http.Header{}, status: http.StatusOK}
	r = r.Clone(r.Context())
	r.RemoteAddr = "127.0.0.1:0"
	if r.Body == nil {
		r.Body = http.NoBody
	}
	t.handler.ServeHTTP(w, r)
	return &http.Response{StatusCode: w.status, Header: w.header, Body: io.NopCloser(&w.body), Request: r}, nil
}

// memoryWriter keeps an answer.
type memoryWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *memoryWriter) Header() http.Header         { return w.header }
func (w *memoryWriter) WriteHeader(status int)      { w.status = status }
func (w *memoryWriter) Write(b []byte) (int, error) { return w.body.Write(b) }

// get asks for a page, decodes it into the value that to points to, and returns its JSON.
func (c *client) get(ctx context.Context, path string, to any) (json.RawMessage, error) {
	return c.ask(ctx, http.MethodGet, path, nil, to)
}

// done is the answer to a form.
type done struct {
	Message  string `json:"message"`
	Location string `json:"location"`
}

// post sends a form.
func (c *client) post(ctx context.Context, path string, form url.Values) (d done, answer json.RawMessage, err error) {
	answer, err = c.ask(ctx, http.MethodPost, path, form, &d)
	return d, answer, err
}

func (c *client) ask(ctx context.Context, method, path string, form url.Values, to any) (json.RawMessage, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, exitError{codeUsage, err}
	}
	r.Header = c.header.Clone()
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, exitError{codeLater, err}
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, exitError{codeLater, err}
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		return nil, refusal(answer.StatusCode, body)
	}
	if err := json.Unmarshal(body, to); err != nil {
		return nil, fmt.Errorf("%s does not answer as left4me does: %w", c.base+path, err)
	}
	return body, nil
}

// refusal returns the error of an answer.
func refusal(status int, body []byte) error {
	var p struct {
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(body, &p); err != nil || p.Detail == "" {
		p.Detail = fmt.Sprintf("the answer is %d %s", status, http.StatusText(status))
	}
	code := codeRefused
	switch {
	case status == http.StatusNotFound:
		code = codeNotFound
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		code = codeForbidden
	case status == http.StatusTooManyRequests, status >= 500:
		code = codeLater
	}
	return exitError{code, errors.New(p.Detail)}
}

// named is a row of a list that commands know by its name.
type named struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// noun is what commands name: overlays and servers.
type noun struct {
	one  string
	list route.Route
}

// listPage is a page of a list; rows is the name of the property that has it.
type listPage struct {
	Rows []json.RawMessage `json:"rows"`
	More bool              `json:"more"`
}

// rows returns the rows of all pages of a list.
func (c *client) rows(ctx context.Context, path, property string, q list.Query) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	for q.Page = 1; ; q.Page++ {
		var view map[string]json.RawMessage
		if _, err := c.get(ctx, q.URL(path), &view); err != nil {
			return nil, err
		}
		var p listPage
		if err := json.Unmarshal(view[property], &p); err != nil {
			return nil, err
		}
		if all = append(all, p.Rows...); !p.More {
			return all, nil
		}
	}
}

// decode decodes rows.
func decode[T any](rows []json.RawMessage) ([]T, error) {
	all := make([]T, len(rows))
	for i, r := range rows {
		if err := json.Unmarshal(r, &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// find returns the id of what has that id, or that name if nothing else has it.
func (c *client) find(ctx context.Context, n noun, idOrName string) (int64, error) {
	if id, err := strconv.ParseInt(idOrName, 10, 64); err == nil && id > 0 {
		return id, nil
	}
	rows, err := c.rows(ctx, n.list.URL(), n.one+"s", list.Query{Text: idOrName})
	if err != nil {
		return 0, err
	}
	all, err := decode[named](rows)
	if err != nil {
		return 0, err
	}
	var ids []string
	var found int64
	for _, row := range all {
		if row.Name == idOrName {
			found = row.ID
			ids = append(ids, strconv.FormatInt(row.ID, 10))
		}
	}
	switch len(ids) {
	case 0:
		return 0, exitError{codeNotFound, fmt.Errorf("There is no %s %s. `localrun %[1]s list` lists them.", n.one, idOrName)}
	case 1:
		return found, nil
	}
	return 0, exitError{codeRefused, fmt.Errorf("several are named %s: use one of the ids %s", idOrName, strings.Join(ids, ", "))}
}

// names completes the first argument of a command.
func (c *caller) names(n noun) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) (names []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		_ = c.run(cmd, func(ctx context.Context, c *client) error { // no names is all that a shell can be told
			rows, err := c.rows(ctx, n.list.URL(), n.one+"s", list.Query{})
			if err != nil {
				return err
			}
			all, err := decode[named](rows)
			for _, row := range all {
				names = append(names, row.Name)
			}
			return err
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// print prints JSON, or the text of it.
func (c *caller) print(w io.Writer, value any, text func(io.Writer) error) error {
	if !c.json {
		return text(w)
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(value)
}

// about runs do with the id of the first argument.
func (c *caller) about(n noun, do func(context.Context, *client, *cobra.Command, int64, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return c.run(cmd, func(ctx context.Context, api *client) error {
			id, err := api.find(ctx, n, args[0])
			if err != nil {
				return err
			}
			return do(ctx, api, cmd, id, args[1:])
		})
	}
}
