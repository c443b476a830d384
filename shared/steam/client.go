package steam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sethvargo/go-retry"
	"golang.org/x/sync/errgroup"
)

// DefaultURL is the value of STEAM_API_URL when it is not set.
const DefaultURL = "https://api.steampowered.com"

const (
	// batchSize is the number of ids in one request, as in Steam's own clients.
	batchSize = 100
	// parallel is the maximum number of simultaneous requests of a Client.
	parallel = 4
	// maxAnswer is the maximum size of an answer in bytes: 100 items with descriptions of 8,000 characters, all escaped, are
	// below 5 MiB.
	maxAnswer = 16 << 20

	// answerTime is the maximum time of one request. It leaves time for another attempt within the 30 s of a page.
	answerTime = 10 * time.Second
	retries    = 4
	firstPause = 500 * time.Millisecond
	// maxPause is the longest Retry-After that a Client waits for.
	maxPause = 60 * time.Second
)

// Client sends requests to Steam's Web API, at most 4 at a time. It can be used by several goroutines at once.
//
// A request that failed with status 429 or 5xx, HTML, a malformed answer or a broken connection is retried up to 4 times, after
// pauses of 0.5 s to 4 s, or the answer's Retry-After up to 60 s. It is not retried if the pause would outlast the context's
// deadline. Errors are *StatusError, *HTMLError, *AnswerError, *UnreachableError, or that of a cancelled context; each is a
// sentence for people.
type Client struct {
	url  string
	http *http.Client
	log  *slog.Logger
	// slots is a semaphore for requests.
	slots chan struct{}
}

// ParseURL reads the setting STEAM_API_URL; empty means DefaultURL. The error is one sentence.
func ParseURL(setting string) (string, error) {
	if setting == "" {
		return DefaultURL, nil
	}
	u, err := url.Parse(setting)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("STEAM_API_URL: %q must be a link such as %s", setting, DefaultURL)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// NewClient returns a client of the Web API at url, as ParseURL returns it, that logs each failed request to log (LogFailed).
// It follows no redirects and uses the environment's proxy.
func NewClient(url string, log *slog.Logger) *Client {
	return &Client{url: url, log: log, slots: make(chan struct{}, parallel), http: &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: answerTime}).DialContext,
			TLSHandshakeTimeout: answerTime,
			MaxIdleConnsPerHost: parallel,
			IdleConnTimeout:     90 * time.Second,
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// EachDetails asks for the details of items, 100 per request, and calls each with the answer to every request: one call at a
// time, in any order of requests, with one Item for each distinct id in the order of ids. Items that Steam leaves out are
// Missing. It stops at the first error, also one that each returns.
func (c *Client) EachDetails(ctx context.Context, ids []ID, each func([]Item) error) error {
	return batches(ctx, ids, c.details, func(_ int, items []Item) error { return each(items) })
}

// Details asks for the details of items and returns one Item for each distinct id, in the order of ids. Items that Steam
// leaves out are Missing.
func (c *Client) Details(ctx context.Context, ids []ID) ([]Item, error) {
	return all(ctx, ids, c.details)
}

// Collections asks which of ids are collections, and for their children. It returns one Collection for each distinct id, in
// the order of ids. It is no error when none of them is a collection.
func (c *Client) Collections(ctx context.Context, ids []ID) ([]Collection, error) {
	return all(ctx, ids, c.collections)
}

func (c *Client) details(ctx context.Context, batch []ID) ([]Item, error) {
	entries, err := c.ask(ctx, "GetPublishedFileDetails", "itemcount", batch)
	if err != nil {
		return nil, err
	}
	return inOrder(batch, entries, parseItem, func(i Item) ID { return i.SteamID }, func(id ID) Item { return Item{SteamID: id, Missing: true} }), nil
}

func (c *Client) collections(ctx context.Context, batch []ID) ([]Collection, error) {
	entries, err := c.ask(ctx, "GetCollectionDetails", "collectioncount", batch)
	if err != nil {
		return nil, err
	}
	return inOrder(batch, entries, parseCollection, func(c Collection) ID { return c.SteamID }, func(id ID) Collection { return Collection{SteamID: id, Missing: true} }), nil
}

// inOrder returns the parsed entry of each id of a batch, or missing(id). The first of several entries for one id counts.
func inOrder[T any](batch []ID, entries []json.RawMessage, parse func(json.RawMessage) (T, bool), idOf func(T) ID, missing func(ID) T) []T {
	found := make(map[ID]T, len(batch))
	for _, raw := range slices.Backward(entries) {
		if parsed, ok := parse(raw); ok {
			found[idOf(parsed)] = parsed
		}
	}
	all := make([]T, len(batch))
	for i, id := range batch {
		parsed, ok := found[id]
		if !ok {
			parsed = missing(id)
		}
		all[i] = parsed
	}
	return all
}

// all fetches every batch and returns the results in the order of ids.
func all[T any](ctx context.Context, ids []ID, fetch func(context.Context, []ID) ([]T, error)) ([]T, error) {
	parts := make([][]T, len(ids)/batchSize+1)
	err := batches(ctx, ids, fetch, func(i int, part []T) error {
		parts[i] = part
		return nil
	})
	if err != nil {
		return nil, err
	}
	return slices.Concat(parts...), nil
}

// batches fetches the distinct ids in batches, as many at once as the Client's slots allow, and calls each with the number and
// the result of every batch, one call at a time.
func batches[T any](ctx context.Context, ids []ID, fetch func(context.Context, []ID) ([]T, error), each func(int, []T) error) error {
	group, groupCtx := errgroup.WithContext(ctx)
	// turn is a mutex that can be waited for until the context ends.
	turn := make(chan struct{}, 1)
	var failed error // the first error of each; guarded by turn, since the group notices it only after turn is free again
	for i, batch := range slices.Collect(slices.Chunk(distinct(ids), batchSize)) {
		group.Go(func() error {
			part, err := fetch(groupCtx, batch)
			if err != nil {
				return err
			}
			select {
			case turn <- struct{}{}:
				defer func() { <-turn }()
			case <-groupCtx.Done():
				return groupCtx.Err()
			}
			if failed == nil {
				failed = groupCtx.Err()
			}
			if failed == nil {
				failed = each(i, part)
			}
			return failed
		})
	}
	return group.Wait()
}

// distinct removes repeats and keeps the order.
func distinct(ids []ID) []ID {
	seen := make(map[ID]bool, len(ids))
	var once []ID
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			once = append(once, id)
		}
	}
	return once
}

// ask sends one batch to a method of the Web API, several times if needed, and returns the entries of the answer.
func (c *Client) ask(ctx context.Context, method, count string, batch []ID) ([]json.RawMessage, error) {
	form := url.Values{count: {strconv.Itoa(len(batch))}}
	for i, id := range batch {
		form.Set(fmt.Sprintf("publishedfileids[%d]", i), string(id))
	}
	link := fmt.Sprintf("%s/ISteamRemoteStorage/%s/v1/", c.url, method)

	var last error
	growing := retry.WithMaxRetries(retries, retry.WithJitterPercent(20, retry.NewExponential(firstPause)))
	pauses := retry.BackoffFunc(func() (time.Duration, bool) {
		pause, stop := growing.Next()
		if status, ok := errors.AsType[*StatusError](last); ok {
			pause = max(pause, status.RetryAfter)
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
			stop = true
		}
		return pause, stop || pause > maxPause
	})
	entries, err := retry.DoValue(ctx, pauses, func(ctx context.Context) ([]json.RawMessage, error) {
		entries, err := c.exchange(ctx, link, form)
		last = err
		if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
			LogFailed(c.log, SourceAPI, Kind(err), err)
		}
		if worthRetrying(err) {
			err = retry.RetryableError(err)
		}
		return entries, err
	})
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err()
	}
	return entries, err
}

var errTooLarge = &AnswerError{Problem: fmt.Sprintf("more than %d MiB", maxAnswer>>20)}

// worthRetrying reports whether the same request may succeed later.
func worthRetrying(err error) bool {
	switch e := err.(type) {
	case *StatusError:
		return e.Code == http.StatusTooManyRequests || e.Code >= 500
	case *AnswerError:
		return e != errTooLarge
	case *HTMLError, *UnreachableError:
		return true
	}
	return false
}

// exchange makes one request and returns the entries of its answer.
func (c *Client) exchange(ctx context.Context, link string, form url.Values) ([]json.RawMessage, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return nil, unreachable(ctx, ctx.Err())
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, fmt.Errorf("no answer within %s", answerTime))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, link, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("ask steam: %w", cause(err))
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", userAgent)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{Code: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, unreachable(ctx, err)
	case len(answer) > maxAnswer:
		return nil, errTooLarge
	}
	return readAnswer(resp.Header.Get("Content-Type"), answer)
}

// unreachable returns the error for a request without an answer: because ctx has ended, or else because of err.
func unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer in time: %w", err)
	}
	return &UnreachableError{Err: cause(err)}
}

// readAnswer unpacks the entries of either method's answer.
func readAnswer(contentType string, answer []byte) ([]json.RawMessage, error) {
	kind, _, _ := mime.ParseMediaType(contentType)
	if kind == "text/html" || bytes.HasPrefix(bytes.TrimSpace(answer), []byte("<")) {
		return nil, &HTMLError{}
	}
	var outer struct {
		Response struct {
			Result      number            `json:"result"`
			Details     []json.RawMessage `json:"publishedfiledetails"`
			Collections []json.RawMessage `json:"collectiondetails"`
		} `json:"response"`
	}
	if err := json.Unmarshal(answer, &outer); err != nil {
		return nil, &AnswerError{Problem: "something that is not the JSON it promises"}
	}
	r := outer.Response
	switch {
	case r.Details != nil:
		return r.Details, nil
	case r.Collections != nil:
		return r.Collections, nil
	case r.Result != 0 && r.Result != 1:
		return nil, &AnswerError{Problem: fmt.Sprintf("result %d", r.Result)}
	}
	// This must not be read as an answer that leaves out every item: all would be marked as gone.
	return nil, &AnswerError{Problem: "without a list of items"}
}
