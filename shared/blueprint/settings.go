package blueprint

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"left4me/shared/problem"
	"left4me/shared/text"
)

// Settings are the game settings of a blueprint (P54). The zero Settings are not the default ones.
type Settings struct {
	// Hostname is the name that the game shows; empty: the server's name.
	Hostname string `json:"hostname,omitempty"`
	// Mode is the game's name of a mode, such as `coop` or `mutation12`.
	Mode string `json:"mode"`
	// Map is the first map.
	Map string `json:"map"`
	// Slots is how many players can join.
	Slots int `json:"slots"`
	// Password is asked of players who join; empty: none.
	Password string `json:"password,omitempty"`
	// Groups are ids of Steam groups, whose members find the server in the game's menu. Exclusive lets only them start a game there.
	Groups    []string `json:"groups,omitempty"`
	Exclusive bool     `json:"exclusive,omitempty"`
	// Region is a value of Regions.
	Region int `json:"region"`
	// Tags are words by which players can search for the server.
	Tags []string `json:"tags,omitempty"`
	// LobbyOnly lets players join only from a lobby, not with the server's address.
	LobbyOnly bool `json:"lobby_only,omitempty"`
	// Consistency turns away players whose files differ from the server's.
	Consistency bool `json:"consistency,omitempty"`
	// Lines are further lines of server.cfg.
	Lines []string `json:"lines,omitempty"`
	// Arguments are further launch arguments. Only administrators set them.
	Arguments []string `json:"arguments,omitempty"`
}

// Default returns settings with which friends can join.
func Default() Settings {
	return Settings{Mode: "coop", Map: "c1m1_hotel", Slots: 8, Region: World}
}

// Limits of settings.
const (
	// NormalSlots is how many players the game itself allows. A plugin is needed for more.
	NormalSlots = 8
	MaxSlots    = 31
	maxText     = 64  // characters of a name or password
	maxLine     = 500 // bytes: the game ignores commands with more than 510
	maxLines    = 200
	maxTags     = 63 // bytes of all tags with the commas between them
)

// World is the region that is no particular one.
const World = 255

// Region is a part of the world, by which the game sorts servers.
type Region struct {
	ID   int // the value of sv_region
	Name string
}

// Regions are the values of Settings.Region.
var Regions = []Region{{World, "World"}, {0, "US East"}, {1, "US West"}, {2, "South America"}, {3, "Europe"}, {4, "Asia"}, {5, "Australia"},
	{6, "Middle East"}, {7, "Africa"}}

// Modes are the game's own modes, in the order in which forms offer them. Mutations have names of their own.
var Modes = []string{"coop", "realism", "versus", "survival", "scavenge"}

// Map is a map of the game with the campaign that it starts.
type Map struct{ Name, Campaign string }

// FirstMaps are the first maps of the game's own campaigns.
var FirstMaps = []Map{{"c1m1_hotel", "Dead Center"}, {"c2m1_highway", "Dark Carnival"}, {"c3m1_plankcountry", "Swamp Fever"}, {"c4m1_milltown_a", "Hard Rain"},
	{"c5m1_waterfront", "The Parish"}, {"c6m1_riverbank", "The Passing"}, {"c7m1_docks", "The Sacrifice"}, {"c8m1_apartment", "No Mercy"},
	{"c9m1_alleys", "Crash Course"}, {"c10m1_caves", "Death Toll"}, {"c11m1_greenhouse", "Dead Air"}, {"c12m1_hilltop", "Blood Harvest"},
	{"c13m1_alpinecreek", "Cold Stream"}, {"c14m1_junkyard", "The Last Stand"}}

var (
	modePattern     = text.Pattern(`^[a-z][a-z0-9_]{0,31}$`)
	mapPattern      = text.Pattern(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
	groupPattern    = text.Pattern(`^[0-9]{1,20}$`)
	tagPattern      = text.Pattern(`^[A-Za-z0-9_.-]{1,32}$`)
	argumentPattern = text.Pattern(`^[A-Za-z0-9_+./:,=@-]{1,128}$`)
)

// reserved are the launch arguments that left4me gives, and those that would undo its isolation or make it lose the process.
var reserved = []string{"-game", "-console", "-norestart", "-strictportbind", "-ip", "+ip", "-port", "-hostport", "+hostport", "-maxplayers", "+maxplayers", "+map",
	"-fork", "-restart", "-autoupdate", "-steam_dir", "-steamcmd_script", "-pidfile", "-debug", "-binary", "-debugger", "+rcon_password", "+sv_password"}

// Check returns an error, a problem (400), for the first setting that the game would not understand, or not as meant. Whatever passes is
// text for the game, never a command of its own, except for Lines, which are commands.
func (s Settings) Check() error {
	if err := checkText("name shown in the game", s.Hostname); err != nil {
		return err
	}
	if err := checkText("password", s.Password); err != nil {
		return err
	}
	switch {
	case strings.ContainsFunc(s.Password, unicode.IsSpace) || strings.Contains(s.Password, ";"):
		// Players type it after `password` into their console.
		return problem.Invalid("A password has no spaces and no semicolon: players could not type it.")
	case CheckMode(s.Mode) != nil:
		return CheckMode(s.Mode)
	case CheckMap(s.Map) != nil:
		return CheckMap(s.Map)
	case s.Slots < 1 || s.Slots > MaxSlots:
		return problem.Invalid("A server has 1 to %d player slots.", MaxSlots)
	case !slices.ContainsFunc(Regions, func(r Region) bool { return r.ID == s.Region }):
		return problem.Invalid("There is no region %d. Please choose one from the list.", s.Region)
	case s.Exclusive && len(s.Groups) == 0:
		return problem.Invalid("Only members of a Steam group could start a game, but no group is named. Please enter the group's id, or clear the box.")
	case len(s.Groups) > 10:
		return problem.Invalid("At most 10 Steam groups can be named.")
	case len(strings.Join(s.Tags, ",")) > maxTags:
		return problem.Invalid("All tags together have at most %d characters.", maxTags)
	case len(s.Lines) > maxLines:
		return problem.Invalid("There may be at most %d more lines for server.cfg.", maxLines)
	case len(s.Arguments) > 32:
		return problem.Invalid("There may be at most 32 launch arguments.")
	}
	for _, id := range s.Groups {
		if !groupPattern().MatchString(id) {
			return problem.Invalid("“%s” is not the id of a Steam group. An id is a number; it is on the page on which the group's owner edits its profile.", id)
		}
	}
	for _, tag := range s.Tags {
		if !tagPattern().MatchString(tag) {
			return problem.Invalid("“%s” is not a tag. Tags are words of letters, digits and _ . - without accents, with commas between them.", tag)
		}
	}
	for _, line := range s.Lines {
		if err := checkLine(line); err != nil {
			return err
		}
	}
	for _, arg := range s.Arguments {
		switch {
		case !argumentPattern().MatchString(arg):
			return problem.Invalid("“%s” cannot be a launch argument: the game's start script only keeps letters, digits and _ + . / : , = @ - as they are.", arg)
		case slices.Contains(reserved, strings.ToLower(arg)):
			return problem.Invalid("The launch argument %s is left4me's own. Please use the settings, or leave it out.", arg)
		}
	}
	return nil
}

// CheckMode returns an error, a problem (400), unless name can be the name of a game mode.
func CheckMode(name string) error {
	if !modePattern().MatchString(name) {
		return problem.Invalid("“%s” is not the name of a game mode. Names are such as coop or mutation12.", name)
	}
	return nil
}

// CheckMap returns an error, a problem (400), unless name can be the name of a map.
func CheckMap(name string) error {
	if !mapPattern().MatchString(name) {
		return problem.Invalid("“%s” is not the name of a map. Names are such as c1m1_hotel, without spaces and without .bsp.", name)
	}
	return nil
}

// checkText checks a value that server.cfg has between quotation marks. The game knows no other way to write one within.
func checkText(what, value string) error {
	switch {
	case utf8.RuneCountInString(value) > maxText:
		return problem.Invalid("The %s has at most %d characters.", what, maxText)
	case strings.Contains(value, `"`):
		return problem.Invalid(`The %s cannot have the character ": the game's settings have no way to write it. Use ' or “ ” instead.`, what)
	case !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
		return problem.Invalid("The %s has characters that cannot be shown. Please type it again.", what)
	}
	return nil
}

func checkLine(line string) error {
	switch {
	case len(line) > maxLine:
		return problem.Invalid("A line for server.cfg has at most %d bytes; the game ignores longer ones: “%.40s…”.", maxLine, line)
	case strings.Count(line, `"`)%2 != 0:
		return problem.Invalid(`This line for server.cfg lacks a second ": %s`, line)
	case !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) && r != '\t' }):
		return problem.Invalid("A line for server.cfg has characters that cannot be shown: %q.", line)
	}
	return nil
}

// ServerConfig returns the text of server.cfg for a server with that name. s has passed Check.
//
// The commands are documented at https://developer.valvesoftware.com/wiki/List_of_L4D2_Cvars; what they do for joining, by the people who
// host such servers, at https://www.nfoservers.com/forums/viewtopic.php?t=4146.
func (s Settings) ServerConfig(serverName string) []byte {
	var b bytes.Buffer
	b.WriteString("// Written by left4me at every start.\n")
	for _, line := range s.Lines {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	set := func(name, value string) { fmt.Fprintf(&b, "%s \"%s\"\n", name, value) }
	flag := func(name string, on bool) { set(name, map[bool]string{true: "1", false: "0"}[on]) }
	// After the lines above, so that the settings count.
	set("hostname", cmp.Or(s.Hostname, strings.ReplaceAll(serverName, `"`, `'`)))
	set("sv_password", s.Password)
	set("mp_gamemode", s.Mode)
	set("sv_gametypes", s.Mode)
	set("sv_steamgroup", strings.Join(s.Groups, ","))
	flag("sv_steamgroup_exclusive", s.Exclusive)
	set("sv_region", strconv.Itoa(s.Region))
	set("sv_tags", strings.Join(s.Tags, ","))
	flag("sv_allow_lobby_connect_only", s.LobbyOnly)
	flag("sv_consistency", s.Consistency)
	set("sv_lan", "0")
	return b.Bytes()
}

// LaunchArguments returns the arguments of srcds_run for a server on port. None of them has a character that its shell treats specially,
// and passwords are not among them, because other users of the host could read them. s has passed Check.
func (s Settings) LaunchArguments(port int) []string {
	return append([]string{"-game", "left4dead2", "-console", "-norestart", "-strictportbind", "-ip", "0.0.0.0", "-port", strconv.Itoa(port),
		"-maxplayers", strconv.Itoa(s.Slots), "+mp_gamemode", s.Mode, "+map", s.Map}, s.Arguments...)
}

// encode returns s as JSON, for a row.
func (s Settings) encode() (string, error) {
	text, err := json.Marshal(s)
	return string(text), err
}

// Decode reads settings from JSON, such as that of a row. Settings that an older version did not know have their defaults.
func Decode(text string) (Settings, error) {
	s := Default()
	err := json.Unmarshal([]byte(text), &s)
	return s, err
}
