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
	Tokens   []account.Token
	// NewToken is a token that was just made. It is shown only once.
	NewToken string
	// Token is the form for a new token.
	Token TokenForm `api:"-"`
	// Error says why the password was not changed; empty for none.
	Error string `api:"-"`
}

// TokenForm is the form for a new token.
type TokenForm struct {
	// Name, Days and Writes are what was sent before.
	Name   string
	Days   int
	Writes bool
	// Error says why it was refused; empty the first time.
	Error string
}

// Fields of route.TokenChange: RevokeField has the id of a token to revoke, the others are for a new one. WritesField is set for one with
// which a program may change something.
const (
	RevokeField = "revoke"
	NameField   = "name"
	DaysField   = "days"
	WritesField = "writes"
)

// days are the lives of tokens that the form offers.
var days = []int{7, 30, 90, account.MaxTokenDays}

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
