package account

import (
	"slices"
	"strings"

	"left4me/shared/account"
	"left4me/templates/page"
)

// ShowView is a person's page about their own account.
type ShowView struct {
	page.Frame
	Sessions []account.Session
	// Error says why the password was not changed; empty for none.
	Error string `api:"-"`
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
	if v.User.Admin {
		return "administrator"
	}
	return "user"
}

// others is whether there are sessions besides the current one.
func (v ShowView) others() bool {
	return slices.ContainsFunc(v.Sessions, func(s account.Session) bool { return !s.Current })
}

// browsers and systems are parts of User-Agent headers with the names to show. The order matters: most browsers also name other
// browsers, which they are compatible with.
var (
	browsers = [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"Chrome/", "Chrome"}, {"CriOS/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"},
	}
	systems = [][2]string{
		{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	}
)

// browser returns the well-known names of a session's browser and system, or else its User-Agent.
func browser(userAgent string) string {
	find := func(names [][2]string) string {
		for _, n := range names {
			if strings.Contains(userAgent, n[0]) {
				return n[1]
			}
		}
		return ""
	}
	name, system := find(browsers), find(systems)
	switch {
	case userAgent == "":
		return "unknown browser"
	case name != "" && system != "":
		return name + " on " + system
	case name != "":
		return name
	}
	return userAgent
}
