// Package fn runs the process of a function: settings, log, database, and Lambda's transport. The same program runs on AWS Lambda
// and under localrun, which implements Lambda's Runtime API.
//
// It knows no particular route or job: a function's main passes a row of a table and a function that builds the handler.
package fn

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"left4me/shared/db"
	"left4me/shared/jobstore"
	"left4me/shared/secret"
	"left4me/shared/settings"
	"left4me/shared/wake"
	"left4me/shared/wake/queue"
)

// Version is left4me's version; the Makefile sets it when it links.
var Version = "development"

// Env has what a function's handler is built from. Opening it contacts nothing.
type Env struct {
	Settings settings.Settings
	DB       *db.DB
	// Jobs is the only job store of the process: what it enqueues wakes the host agent.
	Jobs *jobstore.Store
	Log  *slog.Logger
	Now  func() time.Time
}

// Open reads the settings with getenv, such as os.Getenv, and prepares what they name. The error joins a sentence for
// each setting that is wrong.
func Open(getenv func(string) string, log *slog.Logger) (*Env, error) {
	s, err := settings.Load(getenv)
	if err != nil {
		return nil, err
	}
	d, err := db.Open(s.DatabaseURL, s.DatabaseAuthToken)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", settings.DatabaseURL, err)
	}
	return &Env{Settings: s, DB: d, Jobs: jobstore.NewStore(d, time.Now), Log: log, Now: time.Now}, nil
}

// WakeAgent notifies the host agents if jobs have been enqueued since the last call. A failure is only logged: they look for jobs
// regularly, too.
func (e *Env) WakeAgent(ctx context.Context) {
	if !e.Jobs.TakeEnqueued() {
		return
	}
	agents := []wake.Notifier{wake.Socket(e.Settings.WakeSocket())}
	if urls := e.Settings.JobQueueURLs; len(urls) > 0 {
		agents = nil
		for _, url := range urls {
			agents = append(agents, queue.New(os.Getenv, url))
		}
	}
	var waking sync.WaitGroup
	for _, agent := range agents {
		waking.Go(func() {
			if err := agent.Notify(ctx); err != nil {
				e.Log.WarnContext(ctx, "cannot wake a host agent", "error", err.Error())
			}
		})
	}
	waking.Wait()
}

// Start opens the environment of this process. If that fails, it writes a sentence to stderr, for a person's terminal or Lambda's
// log, and exits.
func Start(function string) *Env {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		fmt.Fprintf(os.Stderr, "%s is a function of left4me: AWS Lambda or `localrun` starts it. Try `localrun invoke %s`.\n", function, function)
		os.Exit(2)
	}
	getenv, err := secret.Getenv(context.Background(), os.Getenv)
	if err != nil {
		giveUp(log, err)
	}
	env, err := Open(getenv, log)
	if err != nil {
		giveUp(log, err)
	}
	return env
}

func giveUp(log *slog.Logger, err error) {
	log.Error("cannot start", "error", err.Error())
	os.Exit(1)
}
