package live

import (
	"fmt"
	"strings"
	"testing"

	"left4me/shared/game/rcon"
	"left4me/shared/server"
	"left4me/shared/text"
)

// FuzzStatus has a player with any name: the player counts as one human, whatever the name looks like.
func FuzzStatus(f *testing.F) {
	for _, name := range []string{"Ellis", `x" BOT active`, `"`, `# 3 "Nick" BOT`, "players : 0 humans, 0 bots", "\r# 3 2 \"x\" BOT", " ", "", "\xff", strings.Repeat("W", 300)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if strings.Contains(name, "\n") {
			t.Skip() // which the game does not allow
		}
		d, err := parseStatus(fmt.Sprintf("hostname: %s\nmap     : c1m1_hotel\nplayers : 1 humans, 1 bots (8 max) (not hibernating)\n\n# userid name uniqueid connected ping loss state rate adr\n"+
			"# 2 1 \"%s\" STEAM_1:0:7 00:35 60 0 active 30000 192.0.2.7:27005\n#100 \"Coach\" BOT active\n#end\n", name, name))
		want := []user{{text.Line(name, maxName), 2, false}, {"Coach", 100, true}}
		if err != nil || d.humans != 1 || len(d.users) != 2 || d.users[0] != want[0] || d.users[1] != want[1] {
			t.Errorf("%q: %+v, %v", name, d, err)
		}
		_, _ = parseStatus(name)
	})
}

func TestCommandsFitThroughRCON(t *testing.T) {
	if server.CommandLength > rcon.MaxCommand {
		t.Errorf("a command may have %d bytes, and RCON takes %d", server.CommandLength, rcon.MaxCommand)
	}
}
