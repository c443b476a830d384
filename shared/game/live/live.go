// Package live asks the games of this host's running servers what they are doing, and has them run commands (servers.md P62, P64).
//
// A2S tells the map and who plays, RCON what A2S does not: the mode, and who is a bot. A game may write each command of RCON to its console,
// so that is only asked when A2S has shown a change.
package live

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"left4me/shared/game/a2s"
	"left4me/shared/game/rcon"
	"left4me/shared/game/serverdir"
	"left4me/shared/server"
	"left4me/shared/text"
)

const (
	// tries is how often a game is asked before it counts as not answering.
	tries = 2
	// atOnce is how many games are asked at once.
	atOnce = 16
	// sameTime is by how much the time for which a player has played may differ from one look to the next, counted from when the player came.
	sameTime = 20 * time.Second
)

// Games are those of the servers below a root.
type Games struct {
	// Root is LEFT4ME_ROOT.
	Root string
	// Wait is how long one answer may take.
	Wait time.Duration
	Now  func() time.Time
}

func address(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port))
}

// Look asks the games of all what they are doing, and sets Now of each. The error is ctx's.
func (g Games) Look(ctx context.Context, all []server.Check) error {
	var asked errgroup.Group
	asked.SetLimit(atOnce)
	for n := range all {
		asked.Go(func() error {
			all[n].Now = g.look(ctx, all[n])
			return nil
		})
	}
	_ = asked.Wait()
	return ctx.Err()
}

func (g Games) look(ctx context.Context, c server.Check) server.Live {
	now := g.Now()
	l := c.Before
	l.RunID = c.RunID
	info, names, answered := g.ask(ctx, c.Port)
	info.Map = text.Line(info.Map, maxName)
	if first := c.Before.RunID == 0; first || answered != l.Answering {
		l.Answering, l.AnsweringAt, l.Stale = answered, now, true
	}
	if !answered {
		l.EmptyAt = time.Time{}
		return l
	}
	listed := players(names, l.Players, now)
	if l.Stale || info.Map != l.Map || info.Players != l.Connected || info.Bots != l.Bots || !slices.EqualFunc(listed, l.Players, samePlayer) {
		l.Connected, l.Bots, l.Humans, l.Mode, l.Stale = info.Players, info.Bots, humans(info, names), "", false
		more, err := g.details(ctx, c)
		switch {
		case err == nil:
			l.Mode, l.Humans = more.mode, more.humans
			listed = more.identify(listed, now)
		case errors.Is(err, serverdir.ErrNoPassword), errors.Is(err, rcon.ErrRejected), errors.Is(err, errStatus):
		default:
			l.Stale = true
		}
	}
	l.Map, l.Slots, l.Players = info.Map, info.Slots, listed
	switch {
	case l.Humans > 0:
		l.EmptyAt = time.Time{}
	case l.EmptyAt.IsZero():
		l.EmptyAt = now
	}
	return l
}

// maxName is the longest name that is stored, in bytes.
const maxName = 128

// ask asks a game over A2S. Both answers must come.
func (g Games) ask(ctx context.Context, port int) (info a2s.Answer, names []a2s.Player, answered bool) {
	for range tries {
		ctx, stop := context.WithTimeout(ctx, g.Wait)
		info, err := a2s.Info(ctx, address(port))
		if err == nil {
			names, err = a2s.Players(ctx, address(port))
		}
		stop()
		if err == nil {
			return info, names, true
		}
	}
	return a2s.Answer{}, nil, false
}

// humans is how many people are on a server, as far as A2S tells, and never fewer than there are: it is not documented whether a game
// counts its bots among its players.
func humans(info a2s.Answer, names []a2s.Player) int {
	switch {
	case info.Players > info.Bots:
		return info.Players - info.Bots
	case info.Players > 0:
		return info.Players
	}
	return max(len(names)-info.Bots, 0)
}

// players are those that the game lists, with what was known about them before.
func players(names []a2s.Player, before []server.Player, now time.Time) []server.Player {
	known := slices.Clone(before)
	var all []server.Player
	for _, n := range names {
		p := server.Player{Name: text.Line(n.Name, maxName), Score: n.Score, Since: now.Add(-n.Time)}
		if i := slices.IndexFunc(known, func(k server.Player) bool { return k.Name == p.Name }); i >= 0 {
			k := known[i]
			known = slices.Delete(known, i, i+1)
			p.Number, p.Bot = k.Number, k.Bot
			if difference := p.Since.Sub(k.Since).Abs(); difference <= sameTime || k.Bot {
				p.Since = k.Since
			}
			if k.Bot {
				p.Score = k.Score
			}
		}
		all = append(all, p)
	}
	return all
}

// samePlayer reports whether a game would list a and b alike, but for the score.
func samePlayer(a, b server.Player) bool { return a.Name == b.Name && a.Since.Equal(b.Since) }

// details are what RCON tells.
type details struct {
	mode   string
	humans int
	users  []user
}

type user struct {
	name   string
	number int
	bot    bool
}

func (g Games) details(ctx context.Context, c server.Check) (d details, err error) {
	ctx, stop := context.WithTimeout(ctx, g.Wait)
	defer stop()
	err = g.with(ctx, c.ServerID, c.RunID, c.Port, func(conn *rcon.Conn) error {
		status, err := conn.Command(ctx, "status")
		if err != nil {
			return err
		}
		if d, err = parseStatus(status); err != nil {
			return err
		}
		mode, err := conn.Command(ctx, "mp_gamemode")
		if found := modePattern().FindStringSubmatch(mode); found != nil {
			d.mode = found[1]
		}
		return err
	})
	return d, err
}

var (
	modePattern = text.Pattern(`^"mp_gamemode" = "([a-z][a-z0-9_]{0,31})"`)
	// A name may have quotation marks; what follows it has none.
	userPattern  = text.Pattern(`(?m)^# *([0-9]+)(?: +[0-9]+)? +"(.*)" +(BOT|\S+)[^"\n]*$`)
	countPattern = text.Pattern(`(?m)^players *: ([0-9]+) humans, ([0-9]+) bots`)
)

var errStatus = errors.New("the game's status has another form than expected")

// parseStatus reads the answer to the command `status`.
func parseStatus(status string) (d details, err error) {
	counts := countPattern().FindStringSubmatch(status)
	if counts == nil {
		return d, errStatus
	}
	people := 0
	for _, found := range userPattern().FindAllStringSubmatch(status, -1) {
		u := user{name: text.Line(found[2], maxName), bot: found[3] == "BOT"}
		u.number, _ = strconv.Atoi(found[1]) // 0 if it is too large
		d.users = append(d.users, u)
		if !u.bot {
			people++
		}
	}
	counted, err := strconv.Atoi(counts[1])
	d.humans = max(counted, people)
	return d, err
}

// identify adds to the players that a game lists their numbers, and who is a bot. Those who are about to join may not be listed yet.
func (d details) identify(listed []server.Player, now time.Time) []server.Player {
	users := slices.Clone(d.users)
	slices.SortStableFunc(users, func(a, b user) int { // of two with one name, the human comes first
		switch {
		case a.bot == b.bot:
			return 0
		case b.bot:
			return -1
		}
		return 1
	})
	for n := range listed {
		p := &listed[n]
		p.Number, p.Bot = 0, false
		if i := slices.IndexFunc(users, func(u user) bool { return u.name == p.Name }); i >= 0 {
			p.Number, p.Bot = users[i].number, users[i].bot
			users = slices.Delete(users, i, i+1)
		}
		if p.Bot {
			p.Score = 0
		}
	}
	for _, u := range users {
		if !u.bot {
			listed = append(listed, server.Player{Name: u.name, Number: u.number, Since: now})
		}
	}
	return listed
}

// Command has the game of a run execute a command, and returns its answer. The errors are those of package rcon, and serverdir.ErrNoPassword.
func (g Games) Command(ctx context.Context, serverID, runID int64, port int, command string) (answer string, err error) {
	err = g.with(ctx, serverID, runID, port, func(conn *rcon.Conn) error {
		answer, err = conn.Command(ctx, command)
		return err
	})
	return answer, err
}

// with connects to a game over RCON. A password that it rejects is never tried again.
func (g Games) with(ctx context.Context, serverID, runID int64, port int, do func(*rcon.Conn) error) error {
	dir := serverdir.Of(g.Root, server.Server{ID: serverID})
	password, err := dir.Password(runID)
	if err != nil {
		return err
	}
	conn, err := rcon.Dial(ctx, address(port), password)
	if errors.Is(err, rcon.ErrRejected) {
		return errors.Join(err, dir.ForgetPassword(runID))
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	return do(conn)
}
