// Package doctor looks at left4me on one host as an operator would, and says of each thing what it saw and what to do.
//
// It changes nothing, and asks nobody but the pages on this host, the database, Steam and systemd.
package doctor

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"left4me/shared/settings"
)

// Level says how bad a finding is.
type Level string

// The levels. A host with a failed check does not work; a warning is for somebody to look at.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Failed  Level = "failed"
)

// Finding is what a check saw.
type Finding struct {
	Check string
	Level Level
	// Saw is what there is, Do what to do about it; Do is empty when all is well.
	Saw, Do string
}

// String is the finding's line.
func (f Finding) String() string {
	line := fmt.Sprintf("%-8s %-14s %s", f.Level, f.Check, f.Saw)
	if f.Do != "" {
		line += ": " + f.Do
	}
	return strings.ReplaceAll(line, "\n", " ")
}

// Host is what there is to look at.
type Host struct {
	// Getenv gives the settings, such as os.Getenv.
	Getenv func(string) string
	// FunctionsDir must hold binaries of these names.
	FunctionsDir string
	Functions    []string
	// TimerEnabled reports whether a timer of the system starts the daily refresh; SystemdTimer asks systemd.
	TimerEnabled func(context.Context) bool
	Now          func() time.Time
}

// Examine makes all checks whose ground is there: without settings there is no database to look at.
func (h Host) Examine(ctx context.Context) []Finding {
	found := []Finding{h.functions()}
	s, err := settings.Load(h.Getenv)
	if err != nil {
		var wrong []Finding
		for sentence := range strings.Lines(err.Error()) {
			wrong = append(wrong, Finding{"settings", Failed, strings.TrimSpace(sentence), "set it in the environment, which packages keep in /etc/left4me/left4me.env; README.md lists them all"})
		}
		return append(wrong, found...)
	}
	found = append([]Finding{{"settings", OK, fmt.Sprintf("%s is %s, browsers come to %s", settings.Root, s.Root, s.PublicURL), ""}}, found...)
	if s.PublicURL.Scheme == "https" && len(s.TrustedProxies) == 0 && s.JobQueueURL == "" {
		found = append(found, Finding{"proxy", Warning, "browsers come by https, so by way of a proxy, and all seem to come from its address: whoever guesses passwords holds up everybody",
			"set TRUSTED_PROXIES to that address, such as 127.0.0.1"})
	}
	found = append(found, files(s)...)
	found = append(found, space(s))
	found = append(found, pages(ctx, s)...)
	found = append(found, h.steam(ctx, s)...)
	return append(found, h.database(ctx, s)...)
}

// timer is the unit that infra/systemd installs.
const timer = "left4me-workshop-refresh.timer"

// SystemdTimer reports whether systemd starts the daily refresh; where there is no systemd, it does not.
func SystemdTimer(ctx context.Context) bool {
	return exec.CommandContext(ctx, "systemctl", "is-enabled", "--quiet", timer).Run() == nil
}
