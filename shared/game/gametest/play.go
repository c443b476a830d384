package gametest

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Game is a stand-in for the part of a game server that answers over the network: A2S_INFO and A2S_PLAYER over UDP
// (https://developer.valvesoftware.com/wiki/Server_queries), and RCON over TCP (https://developer.valvesoftware.com/wiki/Source_RCON_Protocol).
// NewGame makes one. Its fields are set before Serve.
//
// The formats of both, that challenges are asked for, and that a long answer of RCON has several packets are documented. The text of `status`
// is that of a server of this game. It is a guess that the name of a player cannot have a line break, and that a name may have anything else.
type Game struct {
	// Cvars are the variables that commands show and change, such as hostname, mp_gamemode and rcon_password.
	Cvars map[string]string
	Map   string
	Slots int
	// Print writes a line to the console.
	Print func(line string)
	// Quit is called for the command `quit`.
	Quit func()

	udp net.PacketConn
	tcp net.Listener

	other    sync.Mutex
	mu       sync.Mutex
	players  []player
	bots     int
	lastID   int
	faults   map[string]bool
	released chan struct{} // closed when what is held may be answered
	rejected int
	commands []string
	asked    map[string]int // what was asked how often
	changed  *sync.Cond     // with mu; asked has changed
}

type player struct {
	id, score int
	name      string
	joined    time.Time
}

// GameFaults are the ways in which a Game misbehaves:
//
//	silent           no answer
//	hold             what is asked from now on is answered after `release`, late
//	twice            each answer comes twice; over TCP, those without text do
//	truncated        half of each answer comes, and over TCP the connection is closed then
//	foreign          answers over UDP come from a port that was not asked, which invents a player
//	other-address    answers over UDP come from 127.0.0.2
//	parts            answers over UDP come in parts
//	reject           RCON rejects every password
//	closed           RCON closes connections at once
var GameFaults = []string{"silent", "hold", "twice", "truncated", "foreign", "other-address", "parts", "reject", "closed"}

// NewGame returns a Game that is called Friday évening.
func NewGame() *Game {
	g := &Game{
		Cvars: map[string]string{"hostname": "Friday évening", "mp_gamemode": "coop"}, Map: "c1m1_hotel", Slots: 8, Print: func(string) {}, Quit: func() {},
		faults: map[string]bool{}, asked: map[string]int{}, released: make(chan struct{}),
	}
	g.changed = sync.NewCond(&g.mu)
	close(g.released)
	return g
}

// StartGame serves a Game on a port of its own of 127.0.0.1 until the test ends. Its password for RCON is `secret`.
func StartGame(t testing.TB) *Game {
	t.Helper()
	g := NewGame()
	g.Cvars["rcon_password"] = "secret"
	for range 100 { // the port may be free over one protocol only
		udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tcp, err := net.Listen("tcp4", udp.LocalAddr().String())
		if err != nil {
			_ = udp.Close()
			continue
		}
		g.Serve(udp, tcp)
		t.Cleanup(g.Close)
		return g
	}
	t.Fatal("no port is free over UDP and TCP")
	return nil
}

// Serve begins to answer.
func (g *Game) Serve(udp net.PacketConn, tcp net.Listener) {
	g.udp, g.tcp = udp, tcp
	go g.answer()
	go g.accept()
}

// Close ends the answers.
func (g *Game) Close() {
	_ = g.udp.Close()
	_ = g.tcp.Close()
	_ = g.Do("reset")
}

// Address is where the game answers.
func (g *Game) Address() netip.AddrPort { return g.udp.LocalAddr().(*net.UDPAddr).AddrPort() }

// Tell is Do for tests.
func (g *Game) Tell(t testing.TB, commands string) {
	t.Helper()
	if err := g.Do(commands); err != nil {
		t.Fatal(err)
	}
}

// Do runs commands, one a line:
//
//	join NAME          a player joins
//	leave NAME         a player leaves
//	score NAME 12      a player's points
//	played NAME 90s    for how long a player has been there
//	bots 3             the number of bots
//	map c1m2_streets   the map
//	print TEXT         the game writes a line to its console
//	fault NAME         see GameFaults
//	release            what is held is answered
//	reset              no faults, and nothing is held
func (g *Game) Do(commands string) error {
	for line := range strings.Lines(commands) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		if err := g.do(verb, rest); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}

func (g *Game) do(verb, rest string) (err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	name, value := rest, ""
	if n := strings.LastIndex(rest, " "); n > 0 && (verb == "score" || verb == "played") {
		name, value = rest[:n], rest[n+1:]
	}
	who := slices.IndexFunc(g.players, func(p player) bool { return p.name == name })
	switch verb {
	case "join":
		g.lastID++
		g.players = append(g.players, player{id: g.lastID, name: rest, joined: time.Now()})
		g.Print(fmt.Sprintf("Client %q connected (127.0.0.1:27005).", rest))
		return nil
	case "leave", "score", "played":
		if who < 0 {
			return errors.New("nobody has that name")
		}
	}
	switch verb {
	case "leave":
		g.Print(fmt.Sprintf("Dropped %s from server (Disconnect by user.)", rest))
		g.players = slices.Delete(g.players, who, who+1)
	case "score":
		g.players[who].score, err = strconv.Atoi(value)
	case "played":
		var ago time.Duration
		ago, err = time.ParseDuration(value)
		g.players[who].joined = time.Now().Add(-ago)
	case "bots":
		g.bots, err = strconv.Atoi(rest)
	case "map":
		g.Map = rest
	case "print":
		g.Print(rest)
	case "fault":
		if !slices.Contains(GameFaults, rest) {
			return errors.New("unknown fault")
		}
		if g.faults[rest] = true; rest == "hold" {
			g.released = make(chan struct{})
		}
	case "release", "reset":
		if g.faults["hold"] {
			close(g.released)
		}
		if delete(g.faults, "hold"); verb == "reset" {
			clear(g.faults)
		}
	default:
		return errors.New("unknown command")
	}
	return err
}

// control is the header of packets to the stand-in that Do obeys. The real game has nothing like it.
const control = "\xff\xff\xff\xffstand-in "

// TellGame has the Game at an address, in another process on this machine, run commands for Do, and waits until it has.
func TellGame(server netip.AddrPort, commands string) error {
	conn, err := net.Dial("udp", server.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	answer := make([]byte, 1500)
	n := 0
	if _, err = conn.Write([]byte(control + commands)); err == nil {
		n, err = conn.Read(answer)
	}
	if err == nil && n > 0 {
		err = errors.New(string(answer[:n]))
	}
	return err
}

// Commands returns the commands that RCON has run.
func (g *Game) Commands() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.commands)
}

// Await waits until something was asked n times: `info`, `players`, `login` or `command`. It counts those that were not answered, too.
func (g *Game) Await(what string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.asked[what] < n {
		g.changed.Wait()
	}
}

// Asked returns what was asked how often.
func (g *Game) Asked() map[string]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.asked)
}

// seen counts something that is asked, and waits while the game is held. It returns the faults.
func (g *Game) seen(what string) map[string]bool {
	g.mu.Lock()
	g.asked[what]++
	g.changed.Broadcast()
	faults, released := maps.Clone(g.faults), g.released
	g.mu.Unlock()
	<-released
	return faults
}

const (
	infoQuestion    = "\xff\xff\xff\xffTSource Engine Query\x00"
	playersQuestion = "\xff\xff\xff\xffU"
	gameChallenge   = "\x01\x02\x03\x04"
)

// answer answers over UDP.
func (g *Game) answer() {
	request := make([]byte, 1500)
	for {
		n, from, err := g.udp.ReadFrom(request)
		if err != nil {
			return
		}
		text := string(request[:n])
		var question, name string
		var reply func() []byte
		switch {
		case strings.HasPrefix(text, control):
			answer := ""
			if err := g.Do(text[len(control):]); err != nil {
				answer = err.Error()
			}
			_, _ = g.udp.WriteTo([]byte(answer), from)
			continue
		case strings.HasPrefix(text, infoQuestion):
			question, name, reply = infoQuestion, "info", g.info
		case strings.HasPrefix(text, playersQuestion):
			question, name, reply = playersQuestion, "players", g.who
		default:
			continue
		}
		if text[len(question):] != gameChallenge {
			reply = func() []byte { return []byte("\xff\xff\xff\xffA" + gameChallenge) }
			name += "-first"
		}
		go func() {
			faults := g.seen(name)
			if !faults["silent"] {
				g.send(reply(), from, faults)
			}
		}()
	}
}

// send sends an answer over UDP.
func (g *Game) send(answer []byte, to net.Addr, faults map[string]bool) {
	from := g.udp
	if faults["foreign"] || faults["other-address"] {
		g.other.Lock() // two answers cannot use the port at once
		defer g.other.Unlock()
		port := 0
		if faults["other-address"] {
			port = int(g.Address().Port())
		}
		other, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.2:%d", port))
		if err != nil {
			panic(err)
		}
		defer other.Close()
		from = other
	}
	packets := [][]byte{answer}
	if faults["parts"] {
		half := len(answer) / 2
		packets = [][]byte{slices.Concat([]byte("\xfe\xff\xff\xff\x07\x00\x00\x00\x02\x01\xe0\x04"), answer[half:]), slices.Concat([]byte("\xfe\xff\xff\xff\x07\x00\x00\x00\x02\x00\xe0\x04"), answer[:half])}
	}
	for _, p := range packets {
		if faults["truncated"] {
			p = p[:len(p)/2]
		}
		for range 1 + btoi(faults["twice"]) {
			_, _ = from.WriteTo(p, to)
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// info is the answer to A2S_INFO.
func (g *Game) info() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := []byte("\xff\xff\xff\xffI\x11")
	for _, text := range []string{g.Cvars["hostname"], g.Map, "left4dead2", "Left 4 Dead 2"} {
		b = append(append(b, text...), 0)
	}
	b = binary.LittleEndian.AppendUint16(b, 550)
	b = append(b, byte(len(g.players)+g.bots), byte(g.Slots), byte(g.bots), 'd', 'l', 0, 1)
	return append(b, "2.2.4.3\x00\x00"...)
}

// who is the answer to A2S_PLAYER. It has the bots, too.
func (g *Game) who() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := append([]byte("\xff\xff\xff\xffD"), byte(len(g.players)+g.bots))
	for _, p := range g.all() {
		b = append(append(append(b, 0), p.name...), 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(int32(p.score)))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(time.Since(p.joined).Seconds())))
	}
	return b
}

// botNames are those of the game's characters. The ids of bots are from 100 on.
var botNames = []string{"Coach", "Ellis", "Nick", "Rochelle"}

func (g *Game) all() []player {
	all := slices.Clone(g.players)
	for n := range g.bots {
		all = append(all, player{id: 100 + n, name: botNames[n%len(botNames)], joined: time.Now()})
	}
	return all
}

// The types of RCON's packets.
const (
	rconAnswer  = 0
	rconCommand = 2
	rconLogin   = 3
)

// accept answers over RCON.
func (g *Game) accept() {
	for {
		conn, err := g.tcp.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		banned := g.rejected > 1 || g.faults["closed"]
		g.mu.Unlock()
		if banned {
			_ = conn.Close()
			continue
		}
		go func() {
			defer conn.Close()
			g.rcon(conn)
		}()
	}
}

func (g *Game) rcon(conn net.Conn) {
	known := false
	for {
		id, kind, body, err := readRCON(conn)
		if err != nil {
			return
		}
		var faults map[string]bool
		write := func(id, kind int32, body string) bool {
			b := binary.LittleEndian.AppendUint32(nil, uint32(len(body)+10))
			b = binary.LittleEndian.AppendUint32(b, uint32(id))
			b = binary.LittleEndian.AppendUint32(b, uint32(kind))
			b = append(append(b, body...), 0, 0)
			if faults["truncated"] {
				b = b[:len(b)/2]
			}
			for range 1 + btoi(faults["twice"] && body == "") {
				if _, err := conn.Write(b); err != nil {
					return false
				}
			}
			return !faults["truncated"]
		}
		going := true
		switch {
		case kind == rconLogin:
			faults = g.seen("login")
			g.mu.Lock()
			password := g.Cvars["rcon_password"]
			known = password != "" && body == password && !faults["reject"]
			g.rejected += btoi(!known)
			banned := g.rejected > 1
			g.mu.Unlock()
			if banned {
				g.Print("Banning 127.0.0.1 for rcon hacking attempts")
				return
			}
			if !known {
				id = -1
			}
			if faults["silent"] {
				break
			}
			going = write(max(id, 0), rconAnswer, "") && write(id, rconCommand, "")
		case !known:
			return
		case kind == rconCommand:
			faults = g.seen("command")
			if faults["silent"] {
				break
			}
			g.Print(fmt.Sprintf("rcon from %q: command %q", conn.RemoteAddr(), body))
			answer, quits := g.run(body)
			if quits {
				g.Quit()
				return
			}
			for first := true; going && (first || answer != ""); first = false {
				part := answer[:min(len(answer), 4000)]
				answer = answer[len(part):]
				going = write(id, rconAnswer, part)
			}
		case kind == rconAnswer:
			if faults = g.seen("end"); !faults["silent"] {
				going = write(id, rconAnswer, "") && write(id, rconAnswer, "\x00\x01\x00\x00")
			}
		}
		if !going {
			return
		}
	}
}

func readRCON(r io.Reader) (id, kind int32, body string, err error) {
	head := make([]byte, 12)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, 0, "", err
	}
	size := binary.LittleEndian.Uint32(head)
	if size < 10 || size > 4096+10 {
		return 0, 0, "", errors.New("no packet of RCON")
	}
	rest := make([]byte, size-8)
	_, err = io.ReadFull(r, rest)
	return int32(binary.LittleEndian.Uint32(head[4:])), int32(binary.LittleEndian.Uint32(head[8:])), strings.TrimRight(string(rest), "\x00"), err
}

// run runs a line as the game's console does: commands are separated by semicolons outside of quotation marks, and by line breaks.
func (g *Game) run(line string) (answer string, quits bool) {
	var words []string
	word, quoted, any := "", false, false
	end := func() {
		if any {
			words = append(words, word)
		}
		word, any = "", false
	}
	execute := func() {
		end()
		if len(words) > 0 {
			text, quit := g.execute(words)
			answer, quits = answer+text, quits || quit
		}
		words = nil
	}
	for _, r := range line {
		switch {
		case r == '"':
			quoted, any = !quoted, true
		case r == '\n', r == ';' && !quoted:
			quoted = false
			execute()
		case r == ' ' && !quoted:
			end()
		default:
			word, any = word+string(r), true
		}
	}
	execute()
	return answer, quits
}

// execute runs one command.
func (g *Game) execute(words []string) (answer string, quits bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.commands = append(g.commands, strings.Join(words, " "))
	arg := func(n int) string {
		if n < len(words) {
			return words[n]
		}
		return ""
	}
	switch name := words[0]; name {
	case "quit":
		return "", true
	case "status":
		return g.status(), false
	case "echo":
		return strings.Join(words[1:], " ") + "\n", false
	case "say":
		g.Print("Console: " + strings.Join(words[1:], " "))
		return "", false
	case "kickid":
		n := slices.IndexFunc(g.players, func(p player) bool { return strconv.Itoa(p.id) == arg(1) })
		if n < 0 {
			return fmt.Sprintf("Kick: no player with the id %s\n", arg(1)), false
		}
		g.Print(fmt.Sprintf("Dropped %s from server (Kicked by Console)", g.players[n].name))
		g.players = slices.Delete(g.players, n, n+1)
		return "", false
	case "changelevel", "map":
		g.Map, g.Cvars["mp_gamemode"] = arg(1), cmp.Or(arg(2), g.Cvars["mp_gamemode"])
		g.Print("Loading map " + g.Map)
		return "", false
	case "cvarlist": // long
		var b strings.Builder
		for n := range 2000 {
			fmt.Fprintf(&b, "sv_variable_%04d : 0 : \"sv\" : \u00a0\n", n)
		}
		return b.String(), false
	default:
		value, known := g.Cvars[name]
		switch {
		case known && len(words) > 1:
			g.Cvars[name] = words[1]
			return "", false
		case known:
			return fmt.Sprintf("%q = %q\n game replicated\n - a variable\n", name, value), false
		}
		return fmt.Sprintf("Unknown command %q\n", name), false
	}
}

// status is the answer to the command of that name.
func (g *Game) status() string {
	var b strings.Builder
	hibernating := "not hibernating"
	if len(g.players) == 0 {
		hibernating = "hibernating"
	}
	fmt.Fprintf(&b, "hostname: %s\nversion : 2.2.4.3 9422 secure  (unknown)\nudp/ip  : %s [ public 192.0.2.1:27015 ]\nos      : Linux Dedicated\nmap     : %s\n", g.Cvars["hostname"], g.udp.LocalAddr(), g.Map)
	fmt.Fprintf(&b, "players : %d humans, %d bots (%d max) (%s) (unreserved)\n\n# userid name uniqueid connected ping loss state rate adr\n", len(g.players), g.bots, g.Slots, hibernating)
	for n, p := range g.all() {
		if p.id >= 100 {
			fmt.Fprintf(&b, "#%d \"%s\" BOT active\n", p.id, p.name)
			continue
		}
		seconds := int(time.Since(p.joined).Seconds())
		fmt.Fprintf(&b, "# %d %d \"%s\" STEAM_1:0:%d %02d:%02d 60 0 active 30000 192.0.2.7:27005\n", p.id, n+1, p.name, 1000+p.id, seconds/60, seconds%60)
	}
	return b.String() + "#end\n"
}
