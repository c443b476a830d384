package server

import (
	"net/url"
	"slices"
	"strconv"

	"left4me/shared/route"
	"left4me/shared/server"
	"left4me/templates/page"
)

// people are the human players. If it is not known who is a bot, bots are among them.
func (v ShowView) people() []server.Player {
	return slices.DeleteFunc(slices.Clone(v.Players), func(p server.Player) bool { return p.Bot })
}

// version stands for all that the game has said, and for the server's state.
func (v ShowView) version() string {
	s := v.Server
	return string(v.state()) + strconv.FormatInt(max(s.StateAt.UnixMilli(), s.Live.ChangedAt.UnixMilli()), 36)
}

// liveChanged is whether the reader's page shows something else than the game says now.
func (v ShowView) liveChanged() bool { return v.version() != v.SeenVersion }

func (v ShowView) liveURL() string {
	query := url.Values{LiveParam: {v.version()}}
	shown, state := v.Job.ID, v.Job.State
	if shown == 0 {
		shown, state = v.SeenJob, v.SeenState
	}
	if shown != 0 { // so that it stays on the page
		query.Set(JobParam, strconv.FormatInt(shown, 10))
		query.Set(StateParam, string(state))
	}
	return route.ServerShow.URL(v.Server.ID) + "?" + query.Encode()
}

// playing says how many play, such as `2 of 8, 1 bot`.
func playing(l server.Live) string {
	text := page.Number(l.Humans) + " of " + page.Number(l.Slots)
	if l.Bots > 0 {
		text += ", " + page.Count(l.Bots, "bot")
	}
	return text
}

// playerName is a player's name, or what stands for it while the player is about to join.
func playerName(p server.Player) string {
	if p.Name == "" {
		return "about to join"
	}
	return p.Name
}
