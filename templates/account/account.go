package account

import (
	"strings"
	"time"

	"left4me/templates/page"
)

// ShowView is the page about oneself.
type ShowView struct {
	page.Frame
	// Error says why the password was not changed; empty when all is well.
	Error    string
	Sessions []Session
	// MinPassword and MaxPassword are how long a new password may be, in bytes.
	MinPassword, MaxPassword int
}

// Session is one sign-in that has not ended.
type Session struct {
	ID int64
	// Current is whether it is the one that looks at the page.
	Current            bool
	Signed, Expires    time.Time
	Address, UserAgent string
}

// Values of the field that route.SessionEnd takes: SessionField holds a session's id, or OtherSessions.
const (
	SessionField  = "session"
	OtherSessions = "others"
)

func (v ShowView) titled() page.Frame {
	v.Frame.Title, v.Frame.Section = "Account", page.Account
	return v.Frame
}

func (v ShowView) role() string {
	if v.Person.Administrator {
		return "administrator"
	}
	return "user"
}

// others is whether there are sessions to end.
func (v ShowView) others() bool {
	for _, s := range v.Sessions {
		if !s.Current {
			return true
		}
	}
	return false
}

// browsers and systems are what User-Agent headers say, the telling ones first: most browsers also name those that they
// want to be taken for.
var (
	browsers = [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"Chrome/", "Chrome"}, {"CriOS/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	}
	systems = [][2]string{
		{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}
)

// browser is the browser's name in words that people know, or what it says of itself.
func (s Session) browser() string {
	find := func(names [][2]string) string {
		for _, n := range names {
			if strings.Contains(s.UserAgent, n[0]) {
				return n[1]
			}
		}
		return ""
	}
	name, system := find(browsers), find(systems)
	switch {
	case s.UserAgent == "":
		return "unknown browser"
	case name != "" && system != "":
		return name + " on " + system
	case name != "":
		return name
	}
	return s.UserAgent
}
