// Package doctor checks left4me on one host, and reports for each check what it found and what to do.
//
// It changes nothing. It contacts only the pages on this host, the database, Steam and systemd.
package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"time"

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
	Check string
	Level Level
	// Saw says what the check found, and Do what to do about it. Do is empty if the level is OK.
	Saw, Do string
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
	// TimerEnabled reports whether a system timer starts the daily refresh. It is SystemdTimer except in tests.
	TimerEnabled func(context.Context) bool
	Now          func() time.Time
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
	found = append([]Finding{{"settings", OK, fmt.Sprintf("%s is %s, browsers come to %s", settings.Root, s.Root, s.PublicURL), ""}}, found...)
	if behindProxy(s) && len(s.TrustedProxies) == 0 {
		found = append(found, Finding{"proxy", Warning, fmt.Sprintf("browsers come to %s, so through a proxy, and all visitors share its address: one who guesses passwords delays the others' sign-ins", s.PublicURL),
			"set TRUSTED_PROXIES to that address, such as 127.0.0.1"})
	}
	found = append(found, files(s)...)
	found = append(found, space(s))
	found = append(found, pages(ctx, s)...)
	found = append(found, h.steam(ctx, s)...)
	return append(found, h.database(ctx, s)...)
}

// behindProxy reports whether browsers must come through a proxy on a host, because only a proxy serves https, or because no
// other machine can reach the listen address. With JOB_QUEUE_URL, the pages are on AWS.
func behindProxy(s settings.Settings) bool {
	host, _, _ := net.SplitHostPort(s.Listen) // settings.Load has checked it
	return s.JobQueueURL == "" && (s.PublicURL.Scheme == "https" || loopback(host) && !loopback(s.PublicURL.Hostname()))
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// timer is the unit that infra/systemd installs.
const timer = "left4me-workshop-refresh.timer"

// SystemdTimer reports whether systemd starts the daily refresh. Without systemd it returns false.
func SystemdTimer(ctx context.Context) bool {
	return exec.CommandContext(ctx, "systemctl", "is-enabled", "--quiet", timer).Run() == nil
}
