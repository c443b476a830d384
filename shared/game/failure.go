package game

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"left4me/shared/jobstore"
	"left4me/shared/text"
)

// remedy says what may help after a failure of SteamCMD.
type remedy int

const (
	// another: to try again, and then in another way.
	another remedy = iota
	// again: to try again. Other ways would fail, too.
	again
	// startOver: the same, without what has been downloaded.
	startOver
	// somebody: nothing, until a person has done what the message says.
	somebody
)

// failure is a failed run of SteamCMD. The text says what is wrong, and what to do if the remedy is somebody.
type failure struct {
	text   string
	remedy remedy
}

func (f *failure) Error() string { return f.text }

const (
	noLibraries = "SteamCMD cannot start, because this host lacks 32-bit libraries: `sudo apt install lib32gcc-s1 lib32stdc++6`"
	noNetwork   = "Steam's servers cannot be reached. Look at the network, and whether a firewall lets SteamCMD through to Steam"
	cannotWrite = "SteamCMD cannot write to LEFT4ME_ROOT/game. See `localrun doctor`, and look at the disk"
	noSpace     = "the disk of LEFT4ME_ROOT is full. Make room, and install again: what has been downloaded is kept"
	notAllowed  = "Steam does not let this account install the game"
)

// states are the states in which an update of the app ends badly: bits that SteamCMD names in hexadecimal.
var states = map[string]failure{
	"0x202": {noSpace, somebody},
	"0x212": {noSpace, somebody},
	"0x402": {noNetwork, again},
	"0x602": {cannotWrite, somebody},
	"0x606": {cannotWrite, somebody},
	"0x6a6": {"the downloaded files are damaged; they are removed", startOver},
}

// Statuses of SteamCMD, and of the shell that runs it.
const (
	statusLogin    = 5
	statusRefused  = 8
	statusRestart  = 42
	statusCannot   = 126
	statusNotFound = 127
)

// output is what SteamCMD's output of an update says.
type output struct {
	installed bool   // the line of success
	state     string // of the app, after a failed update
	reason    string // why the app cannot be installed
	login     string // why the sign-in failed
	last      string // the last line
}

var (
	successLine  = "Success! App '" + App + "' fully installed."
	stateLine    = text.Pattern(`(?i)error! App '` + App + `' state is (0x[0-9a-f]+) after update job`)
	reasonLine   = text.Pattern(`(?i)error! Failed to install app '` + App + `' \((.+)\)`)
	loginLine    = text.Pattern(`(?i)(?:login failure: |failed login with result code |(?:steam public|config|user info)\.{3}(?:failed|error) \()([^()]+)`)
	progressLine = text.Pattern(`^\s*Update state \(0x[0-9a-fA-F]+\) ([^,]+), progress: [0-9]+[.,][0-9]+ \(([0-9]+) / ([0-9]+)\)`)
)

// read takes a line. It returns true if that is a line of progress.
func (o *output) read(line string) (p jobstore.Progress, isProgress bool) {
	if m := progressLine().FindStringSubmatch(line); m != nil {
		done, err1 := strconv.ParseInt(m[2], 10, 64)
		total, err2 := strconv.ParseInt(m[3], 10, 64)
		return jobstore.Progress{BytesDone: done, BytesTotal: total, Current: "the game: " + m[1]}, errors.Join(err1, err2) == nil
	}
	o.last = strings.TrimSpace(line)
	if strings.Contains(line, successLine) {
		o.installed = true
	}
	for field, pattern := range map[*string]*regexp.Regexp{&o.state: stateLine(), &o.reason: reasonLine(), &o.login: loginLine()} {
		if m := pattern.FindStringSubmatch(line); m != nil {
			*field = strings.TrimSpace(m[1])
		}
	}
	return jobstore.Progress{}, false
}

// failure returns what the output and the status of a run say, or nil if they say that all is well. user is the account; empty for none.
func (o *output) failure(status int, user string) *failure {
	login := strings.ToLower(o.login)
	known, isKnown := states[strings.ToLower(o.state)]
	switch {
	case status == statusNotFound, status == statusCannot && strings.Contains(o.last, "required file not found"):
		return &failure{noLibraries, somebody}
	case status == statusCannot:
		return &failure{"SteamCMD cannot be run on this host, which needs an x86 processor and a disk that is not mounted with noexec: " + o.last, somebody}
	case strings.Contains(login, "no connection"), strings.Contains(login, "timeout"), strings.Contains(login, "unavailable"):
		return &failure{noNetwork, again}
	case login != "" && strings.Contains(login, "rate limit"):
		return &failure{"Steam refuses sign-ins from this host for a while, because there were too many: try again in some hours", somebody}
	case login != "" || status == statusLogin:
		return signIn(o.login, user)
	case isKnown:
		return &known
	case o.state != "":
		return &failure{"the update of the game ended in the unknown state " + o.state, another}
	case o.reason != "":
		return &failure{fmt.Sprintf("%s (%s)", notAllowed, o.reason), another}
	case status == statusRefused:
		return &failure{notAllowed + " (status 8)", another}
	case status == statusRestart:
		return &failure{"SteamCMD wants to be started again, as its steamcmd.sh does", again}
	case status > 128: // a signal, to the shell
		return &failure{"SteamCMD was killed, perhaps because memory is short", again}
	case status != 0:
		return &failure{fmt.Sprintf("SteamCMD ended with status %d: %s", status, o.last), another}
	case !o.installed:
		return &failure{"SteamCMD ended without saying that the game is installed: " + o.last, another}
	}
	return nil
}

// signIn is the failure of a sign-in as user, or of an anonymous one.
func signIn(reason, user string) *failure {
	if reason != "" {
		reason = " (" + reason + ")"
	}
	if user == "" {
		return &failure{"Steam refuses the anonymous sign-in" + reason, another}
	}
	return &failure{fmt.Sprintf("Steam refuses the sign-in as %s%s: run `localrun steam-login` on this host", user, reason), somebody}
}
