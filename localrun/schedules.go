package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"left4me/localrun/lambdahost"
	"left4me/localrun/schedule"
	"left4me/shared/db"
	"left4me/shared/job"
	"left4me/shared/jobstore"
	"left4me/shared/settings"
)

// fireTime is how long a schedule's function may take. It only adds a row.
const fireTime = 30 * time.Second

func workshopRefreshCommand() *cobra.Command {
	var o options
	var scheduled bool
	c := &cobra.Command{
		Use:   "workshop-refresh",
		Short: "Ask for a refresh of all workshop items",
		Long: `Ask for a refresh of all workshop items, unless one is queued or running. The host agent runs it.

Timers use --scheduled: it asks for the refresh that was due at 04:00, unless something else has asked for it already.
localrun up does so by itself. The database must be current: see localrun migrate.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// The function's info line is the same as the printed sentence.
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			return withDatabase(func(s settings.Settings, d *db.DB) error {
				if err := checkCurrent(cmd.Context(), d, log); err != nil {
					return err
				}
				host, err := o.newHost(s, scheduleFunctions(), 1, log)
				if err != nil {
					return err
				}
				event := job.ScheduleEvent{Schedule: job.DailyRefresh.Name}
				if scheduled {
					event = job.DailyRefresh.Event(job.DailyRefresh.Latest(time.Now()))
				}
				fired, err := fire(cmd.Context(), host, job.DailyRefresh, event)
				if err == nil {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), fired.Sentence)
				}
				return errors.Join(err, host.Shutdown(cmd.Context()))
			})
		},
	}
	c.Flags().BoolVar(&scheduled, "scheduled", false, "for a timer: ask for today's refresh, once")
	o.addFunctionsFlag(c)
	return c
}

// scheduleFunctions are the functions of all schedules.
func scheduleFunctions() []lambdahost.Function {
	var all []lambdahost.Function
	for _, s := range job.Schedules() {
		all = append(all, lambdahost.Function{Name: s.Function, MaxProcesses: 1, TimeLimit: fireTime})
	}
	return all
}

// fire invokes the function of a schedule.
func fire(ctx context.Context, host *lambdahost.Host, s job.Schedule, event job.ScheduleEvent) (job.Fired, error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return job.Fired{}, err
	}
	answer, err := host.Invoke(ctx, s.Function, uuid.NewString(), payload)
	if err != nil {
		return job.Fired{}, err
	}
	var fired job.Fired
	if err := json.Unmarshal(answer.Payload, &fired); err != nil {
		return job.Fired{}, fmt.Errorf("function %s: read its answer: %w", s.Function, err)
	}
	return fired, nil
}

// schedules returns the service that fires schedules by this host's clock: all if allOfThem is true, and otherwise those for which there
// is no other timer, because their jobs need a host.
func (o *options) schedules(s settings.Settings, d *db.DB, allOfThem bool, log *slog.Logger) (service, error) {
	host, err := o.newHost(s, scheduleFunctions(), 0, log)
	if err != nil {
		return nil, err
	}
	r := &schedule.Runner{
		Schedules: slices.DeleteFunc(job.Schedules(), func(s job.Schedule) bool { return !allOfThem && s.Operation.Place == job.Anywhere }),
		Missed:    jobstore.NewStore(d, time.Now).Missed,
		Fire: func(ctx context.Context, s job.Schedule, slot time.Time) error {
			_, err := fire(ctx, host, s, s.Event(slot)) // the function logs the result
			return err
		},
		Now:    time.Now,
		Jitter: func(most time.Duration) time.Duration { return rand.N(most + 1) },
		Log:    log,
	}
	return func(ctx context.Context) error {
		for _, s := range r.Schedules {
			log.Info("watching the clock", "schedule", s.Name, "next", s.Next(time.Now()))
		}
		r.Run(ctx)
		return shutdown(ctx, host)
	}, nil
}
