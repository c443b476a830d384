// Command srcds is a stand-in for the program srcds_linux of the game's dedicated server. It behaves as servers.md says of the real one, as
// far as left4me notices: it takes the launch arguments and server.cfg, opens the add-ons when it starts, answers as gametest.Game does, writes into
// its tree, and ends when it is asked to. gametest.TellGame tells it who plays, and how to misbehave.
//
// A file left4dead2/cfg/misbehave.cfg, with one word a line, makes it misbehave: `exit` (at once, with code 1), `crash` (with SIGSEGV as soon
// as it answers), `silent` (it never answers), `stubborn` (it ignores requests to end), `segfault` (it ends with code 139 when asked to).
//
// A file left4dead2/cfg/look.cfg, with one path a line, makes it write to the console which of them it can read and write, and how many
// processes it sees.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"left4me/shared/game/gametest"
)

const mod = "left4dead2"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

type game struct {
	cvars     map[string]string
	misbehave []string
	addons    []*os.File // open while it runs
}

func run(args []string) error {
	g := &game{cvars: map[string]string{"hostname": "unnamed"}}
	if text, err := os.ReadFile(filepath.Join(mod, "cfg", "misbehave.cfg")); err == nil {
		g.misbehave = strings.Fields(string(text))
	}
	value := func(name string) string {
		if i := slices.Index(args, name); i >= 0 && i+1 < len(args) {
			return args[i+1]
		}
		return ""
	}
	port, err := strconv.Atoi(value("-port"))
	if err != nil {
		return fmt.Errorf("-port: %w", err)
	}
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	if g.does("exit") {
		return fmt.Errorf("FATAL ERROR: told to exit")
	}
	fmt.Printf("arguments %q\n", args)
	fmt.Printf("Console initialized.\nGame supporting (2) split screen players initialized.\nmaxplayers set to %s\n", value("-maxplayers"))
	if err := g.openAddons(); err != nil {
		return err
	}
	g.exec("server.cfg")
	address := fmt.Sprintf("%s:%d", value("-ip"), port)
	udp, err := net.ListenPacket("udp4", address)
	if err != nil {
		return fmt.Errorf("ERROR: couldn't bind to port %d: %w", port, err)
	}
	tcp, err := net.Listen("tcp4", address)
	if err != nil {
		return fmt.Errorf("ERROR: couldn't bind to port %d: %w", port, err)
	}
	if err := write(filepath.Join(mod, "logs", "L0001.log"), "log started\n"); err != nil {
		fmt.Println("cannot write the log:", err)
	}
	look()
	fmt.Printf("Network: IP %s, mode MP, dedicated Yes, ports %d SV / -1 CL\nhostname is %q\n", value("-ip"), port, g.cvars["hostname"])
	slots, _ := strconv.Atoi(value("-maxplayers")) // the launch arguments are checked elsewhere
	playing := gametest.NewGame()
	playing.Cvars, playing.Map, playing.Slots = g.cvars, value("+map"), slots
	playing.Print, playing.Quit = func(line string) { fmt.Println(line) }, func() { ends <- syscall.SIGTERM }
	if g.does("silent") {
		if err := playing.Do("fault silent"); err != nil {
			return err
		}
	}
	playing.Serve(udp, tcp)
	if g.does("crash") {
		go func() {
			playing.Await("info", 1)
			time.Sleep(50 * time.Millisecond) // until the answer has arrived
			_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		}()
	}
	for range ends {
		if g.does("stubborn") {
			continue
		}
		fmt.Println("quit")
		if g.does("segfault") {
			os.Exit(139)
		}
		break
	}
	return nil
}

// look says what this process can do outside of its tree.
func look() {
	text, err := os.ReadFile(filepath.Join(mod, "cfg", "look.cfg"))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		path := strings.TrimSuffix(line, "\n")
		_, readErr := os.ReadFile(path)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			_, readErr = os.ReadDir(path)
		}
		f, writeErr := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			f, writeErr = os.CreateTemp(path, "looked-")
		}
		if writeErr == nil {
			_ = f.Close()
		}
		conn, dialErr := net.Dial("unix", path)
		if dialErr == nil {
			_ = conn.Close()
		}
		fmt.Printf("look %s: read %v, write %v, connect %v\n", path, readErr == nil, writeErr == nil, dialErr == nil)
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	fmt.Printf("look: user %d, processes %d\n", os.Getuid(), len(processes))
}

func (g *game) does(what string) bool { return slices.Contains(g.misbehave, what) }

// openAddons opens the add-ons that are there now, as the game does.
func (g *game) openAddons() error {
	paths, err := filepath.Glob(filepath.Join(mod, "addons", "*.vpk"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		g.addons = append(g.addons, f)
		fmt.Printf("add-on %q\n", filepath.Base(path))
	}
	return nil
}

// exec reads the settings `name "value"` of a file in cfg.
func (g *game) exec(name string) {
	text, err := os.ReadFile(filepath.Join(mod, "cfg", name))
	if err != nil {
		fmt.Printf("exec: couldn't exec %s\n", name)
		return
	}
	for line := range strings.Lines(string(text)) {
		name, value, found := strings.Cut(strings.TrimSpace(line), " ")
		if found && !strings.HasPrefix(name, "//") {
			g.cvars[name] = strings.Trim(value, `"`)
		}
	}
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
