// Package doctor checks left4me on one host, and reports for each check what it found and what to do.
//
// It changes nothing. It contacts only the pages on this host, the database, Steam and systemd.
package doctor

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

	"left4me/shared/game/supervisor"
	"left4me/shared/settings"
)

// Level is the severity of a finding.
type Level string

// A host with a failed check does not work. An operator should look at a warning.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Failed  Level = "failed"
)

// Finding is the result of a check.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Saw says what the check found, and Do what to do about it. Do is empty if the level is OK.
	Saw string `json:"saw"`
	Do  string `json:"do,omitempty"`
}

// String returns the finding as one line.
func (f Finding) String() string {
	line := fmt.Sprintf("%-8s %-14s %s", f.Level, f.Check, f.Saw)
	if f.Do != "" {
		line += ": " + f.Do
	}
	return strings.ReplaceAll(line, "\n", " ")
}

// Host is the host to check.
type Host struct {
	// Getenv returns the settings. It is os.Getenv except in tests.
	Getenv func(string) string
	// FunctionsDir must contain the binaries in Functions.
	FunctionsDir string
	Functions    []string
	// Environ are the variables of the environment, as os.Environ returns them.
	Environ []string
	// Timer returns the state of the system's timer for the daily refresh. It is SystemdTimer except in tests.
	Timer func(context.Context) Timer
	// Libraries returns the missing 32-bit libraries. It is Libraries32 except in tests.
	Libraries func() []string
	// Servers says what keeps game servers on this host, and why it cannot. It is supervisor.Check except in tests.
	Servers func(context.Context, settings.Settings) (keeper string, p supervisor.Problem)
	// DiskSpace returns the size of a path's disk and the space that is free. It is heartbeat.DiskSpace except in tests.
	DiskSpace func(path string) (total, free int64, err error)
	Now       func() time.Time
}

// Examine runs all checks. If the settings are wrong, it leaves out the checks that need them.
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
	found = append(h.settings(s), found...)
	if behindProxy(s) && len(s.TrustedProxies) == 0 {
		found = append(found, Finding{"proxy", Warning, fmt.Sprintf("browsers come to %s, so through a proxy, and all visitors share its address: one who guesses passwords delays the others' sign-ins", s.PublicURL),
			"set TRUSTED_PROXIES to that address, such as 127.0.0.1"})
	}
	found = append(found, files(s)...)
	found = append(found, h.space(s), h.game(ctx, s), h.servers(ctx, s))
	found = append(found, pages(ctx, s)...)
	found = append(found, h.steam(ctx, s)...)
	return append(found, h.database(ctx, s)...)
}

// behindProxy reports whether browsers must come through a proxy on a host, because only a proxy serves https, or because no
// other machine can reach the listen address. With JOB_QUEUE_URL, the pages are on AWS.
func behindProxy(s settings.Settings) bool {
	host, _, _ := net.SplitHostPort(s.Listen) // settings.Load has checked it
	return len(s.JobQueueURLs) == 0 && (s.PublicURL.Scheme == "https" || settings.Loopback(host) && !settings.Loopback(s.PublicURL.Hostname()))
}

// settings says where left4me's files are and where browsers open its pages, and lists variables without effect.
func (h Host) settings(s settings.Settings) []Finding {
	saw := fmt.Sprintf("%s is %s, browsers come to %s", settings.Root, s.Root, s.PublicURL)
	local, _ := net.InterfaceAddrs() // without them, the line says less
	if urls := s.Elsewhere(local); len(urls) > 0 {
		saw += ", from other machines to " + strings.Join(urls, " or ")
	}
	found := []Finding{{"settings", OK, saw, ""}}
	for _, sentence := range s.Warnings(h.Environ) {
		found = append(found, Finding{"settings", Warning, sentence, "correct it, or remove it"})
	}
	return found
}

// timer is the unit that infra/systemd installs.
const timer = "left4me-workshop-refresh.timer"

// Timer is what systemd says about the unit that starts the daily refresh. It is zero without systemd, or without the unit.
type Timer struct {
	// Active timers start the refresh. Enabled ones become active when the host starts.
	Active, Enabled bool
	// Next is when the refresh starts next, as systemd writes it.
	Next string
}

// SystemdTimer asks systemd about its timer.
func SystemdTimer(ctx context.Context) Timer {
	var t Timer
	out, _ := exec.CommandContext(ctx, "systemctl", "show", "--property=ActiveState,UnitFileState,NextElapseUSecRealtime", timer).Output()
	for line := range strings.Lines(string(out)) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "ActiveState":
			t.Active = value == "active"
		case "UnitFileState":
			t.Enabled = value == "enabled"
		case "NextElapseUSecRealtime":
			t.Next = value
		}
	}
	return t
}
