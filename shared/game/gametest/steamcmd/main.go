// Command steamcmd is a stand-in for Valve's SteamCMD, as far as left4me uses it. It asks package gametest's server what Steam has, and
// how to misbehave. What Valve documents or people report is marked with "reported", the rest is a guess.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"

	"left4me/shared/game/gametest"
)

const app = "222860"

// Statuses, reported.
const (
	statusLogin   = 5
	statusRefused = 8
	statusRestart = 42
)

func main() {
	c := &client{server: os.Getenv("STEAM_STAND_IN"), home: os.Getenv("HOME"), platform: "linux", out: bufio.NewWriter(os.Stdout)}
	// Reported: output is buffered unless it goes to a terminal.
	c.terminal = isatty.IsTerminal(os.Stdout.Fd())
	status, err := c.run(os.Args[1:])
	if err != nil {
		c.say("stand-in: %v", err)
		status = 1
	}
	_ = c.out.Flush()
	os.Exit(status)
}

type client struct {
	server   string
	home     string
	out      *bufio.Writer
	terminal bool

	gametest.Run
	dir        string
	platform   string
	user       string // empty: not signed in
	noPassword bool   // @NoPromptForPassword
	stop       bool   // @ShutdownOnFailedCommand
	windows    bool   // the game for Windows was downloaded in this run
	asked      bool   // for information about the app
}

func (c *client) say(format string, args ...any) {
	fmt.Fprintf(c.out, format+"\n", args...)
	if c.terminal {
		_ = c.out.Flush()
	}
}

// run runs the commands of the command line, each of which begins with +, and returns the exit status.
func (c *client) run(args []string) (int, error) {
	if err := c.ask(args); err != nil {
		return 0, err
	}
	switch updated := filepath.Join(c.home, "updated"); {
	case c.Fault == "no-library":
		return 127, nil // reported, of the shell
	case c.Fault == "restart":
		// Reported: after an update of itself. It does that at its first start.
		if _, err := os.Stat(updated); err != nil {
			c.say("[----] Update complete, launching...")
			return statusRestart, os.WriteFile(updated, nil, 0o600)
		}
	}
	c.say("\x1b[0mSteam Console Client (c) Valve Corporation - version 1731433425")
	c.say("-- type 'quit' to exit --")
	c.say("Loading Steam API...OK")
	for _, command := range strings.Split(strings.TrimPrefix(strings.Join(args, " "), "+"), " +") {
		words := strings.Fields(command)
		if status, err := c.do(words[0], words[1:]); status != 0 || err != nil {
			if c.stop || err != nil {
				return status, err
			}
		}
	}
	return 0, nil
}

// ask asks the server how this run goes.
func (c *client) ask(args []string) error {
	body, err := json.Marshal(args)
	if err != nil {
		return err
	}
	answer, err := http.Post(c.server+gametest.RunPath, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return json.NewDecoder(answer.Body).Decode(&c.Run)
}

func (c *client) do(command string, args []string) (status int, err error) {
	switch command {
	case "@ShutdownOnFailedCommand":
		c.stop = args[0] == "1"
	case "@NoPromptForPassword":
		c.noPassword = args[0] == "1"
	case "@sSteamCmdForcePlatformType":
		c.platform = args[0]
		c.say(`"@sSteamCmdForcePlatformType" = %q`, args[0])
	case "force_install_dir":
		if c.user != "" { // reported
			c.say("Please use force_install_dir before logon!")
			return 1, nil
		}
		c.dir = args[0]
	case "login":
		return c.login(args[0])
	case "app_info_update":
	case "app_info_print":
		c.info()
	case "app_update":
		return c.update(len(args) > 1 && args[1] == "validate")
	case "quit":
	default:
		c.say("Command not found: %s", command)
		return 1, nil
	}
	return 0, nil
}

func (c *client) login(user string) (status int, err error) {
	// Reported: a sign-in is remembered.
	remembered := filepath.Join(c.home, "login-"+user)
	switch {
	case user == "anonymous" && c.Fault == "no-connection":
		c.say("Connecting anonymously to Steam Public...FAILED (No Connection)")
		return statusLogin, nil
	case user == "anonymous" && c.Fault == "rate-limit":
		c.say("Connecting anonymously to Steam Public...FAILED (Rate Limit Exceeded)")
		return statusLogin, nil
	case c.Fault == "login":
		c.say("FAILED login with result code Invalid Password")
		return statusLogin, nil
	case user == "anonymous":
		c.say("\nConnecting anonymously to Steam Public...OK\nWaiting for client config...OK\nWaiting for user info...OK")
		c.user = user
		return 0, nil
	}
	c.user = user
	if _, err := os.Stat(remembered); err == nil {
		c.say("Logging in user '%s' to Steam Public...OK", user)
		return 0, nil
	}
	if !c.noPassword {
		fmt.Fprint(os.Stdout, "password: ")
		password, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if strings.TrimSpace(password) == "right" {
			c.say("Logging in user '%s' to Steam Public...OK", user)
			return 0, os.WriteFile(remembered, nil, 0o600)
		}
	}
	c.say("FAILED login with result code Invalid Password")
	return statusLogin, nil
}

// info shows information about the app, with the newest build. Reported: SteamCMD asks for what it does not know, and does not wait.
func (c *client) info() {
	if !c.asked || c.Fault == "no-info" {
		c.asked = true
		c.say("No app info for AppID %s found, requesting...", app)
		return
	}
	var total int64
	for _, f := range c.Files {
		total += f.Size
	}
	c.say("AppID : %s, change number : 1/1, last change : Thu Jan  1 00:00:00 1970", app)
	c.say("%q\n{\n\t\"common\"\n\t{\n\t\t\"name\"\t\t\"Left 4 Dead 2 Dedicated Server\"\n\t}\n\t\"depots\"\n\t{", app)
	c.say("\t\t\"222861\"\n\t\t{\n\t\t\t\"manifests\"\n\t\t\t{\n\t\t\t\t\"public\"\n\t\t\t\t{\n\t\t\t\t\t\"gid\"\t\t\"1\"\n\t\t\t\t\t\"size\"\t\t\"%d\"\n\t\t\t\t}\n\t\t\t}\n\t\t}", total)
	c.say("\t\t\"222862\"\n\t\t{\n\t\t\t\"config\"\n\t\t\t{\n\t\t\t\t\"oslist\"\t\t\"windows\"\n\t\t\t}\n\t\t\t\"manifests\"\n\t\t\t{\n\t\t\t\t\"public\"\n\t\t\t\t{\n\t\t\t\t\t\"size\"\t\t\"99999999999\"\n\t\t\t\t}\n\t\t\t}\n\t\t}")
	c.say("\t\t\"branches\"\n\t\t{\n\t\t\t\"public\"\n\t\t\t{\n\t\t\t\t\"buildid\"\t\t\"%d\"\n\t\t\t}\n\t\t}\n\t}\n}", c.Build)
}

// refuse says why the app cannot be installed.
func (c *client) refuse(reason string) (status int, err error) {
	c.say("ERROR! Failed to install app '%s' (%s)", app, reason)
	return statusRefused, nil
}

// state ends an update in a state of the app.
func (c *client) state(state string) (status int, err error) {
	c.say("Error! App '%s' state is %s after update job.", app, state)
	return statusRefused, nil
}

func (c *client) manifest() string {
	return filepath.Join(c.dir, "steamapps", "appmanifest_"+app+".acf")
}

func (c *client) writeManifest(flags int, done, total int64) error {
	return os.WriteFile(c.manifest(), fmt.Appendf(nil, "\"AppState\"\n{\n\t\"appid\"\t\t\"%s\"\n\t\"StateFlags\"\t\t\"%d\"\n\t\"buildid\"\t\t\"%d\"\n"+
		"\t\"BytesToDownload\"\t\t\"%d\"\n\t\"BytesDownloaded\"\t\t\"%d\"\n\t\"BytesToStage\"\t\t\"%d\"\n\t\"BytesStaged\"\t\t\"%d\"\n}\n",
		app, flags, c.Build, total, done, total, done), 0o644)
}

// allowed reports whether Steam lets the app be installed for Linux. Reported: since November 2024 that takes one of several tricks.
func (c *client) allowed() bool {
	_, err := os.Stat(c.manifest())
	switch c.Allow {
	case "anonymous":
		return true
	case "manifest":
		return err == nil
	case "windows":
		return c.windows || c.user != "anonymous"
	}
	return c.user != "anonymous"
}

func (c *client) update(validate bool) (status int, err error) {
	state, isState := strings.CutPrefix(c.Fault, "state-")
	switch _, err := os.Stat(filepath.Dir(c.manifest())); {
	case c.Fault == "invalid-platform":
		return c.refuse("Invalid platform")
	case c.Fault == "missing-configuration", c.platform == "linux" && !c.allowed():
		return c.refuse("Missing configuration")
	case isState && state != "0x6A6":
		return c.state(state)
	case err != nil: // reported
		return c.state("0x606")
	}
	if err := c.download(validate); err != nil {
		return 0, err
	}
	switch c.Fault {
	case "state-0x6A6":
		return c.state(state)
	case "no-success":
		c.say("Unloading Steam API...OK")
		return 0, nil
	case "status-1":
		return 1, nil
	}
	c.windows = c.platform == "windows"
	c.say("Success! App '%s' fully installed.", app)
	return 0, nil
}

// download makes the files those of the newest build. What is there of a file and fits is not downloaded again.
func (c *client) download(validate bool) error {
	var files []gametest.File
	var done, total int64
	for _, f := range c.Files {
		if f.OS == "" || f.OS == c.platform {
			files = append(files, f)
			total += f.Size
			continue
		}
		if err := os.Remove(filepath.Join(c.dir, f.Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	progress := func(state, word string) {
		percent := strconv.FormatFloat(100*float64(done)/float64(max(1, total)), 'f', 2, 64)
		if c.Fault == "comma" || os.Getenv("LC_ALL") != "C" { // reported, of some locales
			percent = strings.Replace(percent, ".", ",", 1)
		}
		c.say(" Update state (%s) %s, progress: %s (%d / %d)", state, word, percent, done, total)
	}
	progress("0x3", "reconfiguring")
	if validate {
		progress("0x5", "verifying install")
	}
	if err := c.writeManifest(1026, done, total); err != nil { // reported
		return err
	}
	for _, f := range files {
		if err := c.get(f, func(n int64) {
			done += n
			progress("0x61", "downloading")
			if c.Fault == "killed" && done*10 >= total*6 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			if c.Fault == "hang" && done*2 >= total {
				time.Sleep(24 * time.Hour)
			}
		}); err != nil {
			return err
		}
	}
	progress("0x101", "committing")
	switch c.Fault {
	case "lie":
		return c.writeManifest(1026, total, total)
	case "bytes-missing":
		return c.writeManifest(4, total/2, total)
	}
	return c.writeManifest(4, total, total)
}

// get downloads a file. moved is called with the bytes since the last call.
func (c *client) get(f gametest.File, moved func(int64)) error {
	path := filepath.Join(c.dir, f.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, f.Mode)
	if err != nil {
		return err
	}
	defer file.Close()
	have, err := c.intact(f, file)
	if err != nil {
		return err
	}
	if err := file.Truncate(have); err != nil {
		return err
	}
	moved(have)
	answer, err := http.Get(fmt.Sprintf("%s%s%s?offset=%d", c.server, gametest.FilesPath, f.Name, have))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	buffer := make([]byte, max(1<<10, f.Size/50))
	for {
		n, err := answer.Body.Read(buffer)
		if _, werr := file.WriteAt(buffer[:n], have); werr != nil {
			return werr
		}
		if have += int64(n); n > 0 {
			moved(int64(n))
		}
		if err == io.EOF && have == f.Size {
			return nil
		}
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
}

// intact returns how much of a file fits the newest build. Its first line names the build, and it is written from its start.
func (c *client) intact(f gametest.File, file *os.File) (int64, error) {
	want := fmt.Sprintf("release %d\n", c.Build)
	first := make([]byte, len(want))
	if _, err := io.ReadFull(file, first); err != nil || string(first) != want {
		return 0, nil
	}
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return min(info.Size(), f.Size), nil
}
