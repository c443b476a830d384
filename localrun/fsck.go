package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"left4me/localrun/fsck"
	"left4me/shared/db"
	"left4me/shared/game/supervisor"
	"left4me/shared/settings"
)

func fsckCommand() *cobra.Command {
	var repair, content, asJSON bool
	c := &cobra.Command{
		Use:   "fsck",
		Short: "Check what left4me has stored on this host and in the database",
		Long: `Check that the database, the workshop cache, the overlays and the servers of this host are as they must be at every moment, whatever
was killed or has failed. There is one line for each problem, with what to do about it. Nothing is changed without --repair.

With --repair, what can be repaired is: wrong rows are corrected, files of the cache that are not right are given up, and builds are
asked for, which the host agent runs. Files that left4me did not make are never changed or removed.

While jobs run, a problem may be something that they are about to complete: check again when they have ended. The exit status is 1
if a problem is left. localrun doctor checks whether left4me can work here; this checks what it has done.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withDatabase(func(s settings.Settings, d *db.DB) error {
				this, err := thisHost("fsck", s)
				if err != nil {
					return err
				}
				h := fsck.Host{DB: d, Settings: s, ID: this.ID, Supervisor: supervisor.New(s), Content: content, Now: time.Now}
				return examine(cmd.Context(), h, repair, asJSON, cmd.OutOrStdout())
			})
		},
	}
	c.Flags().BoolVar(&repair, "repair", false, "repair what can be repaired")
	c.Flags().BoolVar(&content, "content", false, "also read every file of the cache, and compare it with Steam's SHA-1")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// examination is the JSON that fsck prints.
type examination struct {
	RunningJobs []int64          `json:"running_jobs"`
	Problems    []examinedResult `json:"problems"`
}

type examinedResult struct {
	Of         string `json:"of"`
	Text       string `json:"text"`
	Advice     string `json:"advice,omitempty"`
	Repairable bool   `json:"repairable"`
	Repaired   string `json:"repaired,omitempty"`
	Error      string `json:"error,omitempty"`
}

func examine(ctx context.Context, h fsck.Host, repair, asJSON bool, out io.Writer) error {
	running, err := h.Running(ctx)
	if err != nil {
		return err
	}
	found := examination{RunningJobs: append([]int64{}, running...), Problems: []examinedResult{}}
	problems, err := h.Examine(ctx)
	if err != nil {
		return err
	}
	left := 0
	for _, p := range problems {
		r := examinedResult{Of: p.Of, Text: p.Text, Advice: p.Advice, Repairable: p.Repair != nil}
		if repair && r.Repairable {
			if r.Repaired, err = p.Repair(ctx); err != nil {
				r.Error = err.Error()
			}
		}
		if r.Repaired == "" {
			left++
		}
		found.Problems = append(found.Problems, r)
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(found)
	} else {
		err = found.print(out)
	}
	if err == nil && left > 0 {
		err = fmt.Errorf("%d of %d problems are left", left, len(problems))
	}
	return err
}

func (e examination) print(out io.Writer) (err error) {
	say := func(format string, args ...any) {
		_, werr := fmt.Fprintf(out, format+"\n", args...)
		err = errors.Join(err, werr)
	}
	if len(e.RunningJobs) > 0 {
		say("jobs %v are at work: what they are about to complete may be reported; check again when they have ended", e.RunningJobs)
	}
	for _, p := range e.Problems {
		switch {
		case p.Error != "":
			say("%s: %s: cannot be repaired: %s", p.Of, p.Text, p.Error)
		case p.Repaired != "":
			say("%s: %s: %s", p.Of, p.Text, p.Repaired)
		case p.Repairable:
			say("%s: %s (--repair can repair this)", p.Of, p.Text)
		case p.Advice == "":
			say("%s: %s", p.Of, p.Text)
		default:
			say("%s: %s: %s", p.Of, p.Text, p.Advice)
		}
	}
	if len(e.Problems) == 0 {
		say("database, cache, overlays and servers of this host: no problem")
	}
	return err
}
