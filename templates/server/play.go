package server

import (
	"fmt"
	"net/http"

	"github.com/a-h/templ"

	"left4me/shared/route"
	"left4me/shared/server"
	"left4me/templates/page"
	"left4me/templates/web"
)

// PlayPage answers with the page of a public server, for players.
type PlayPage struct {
	Servers *server.Store
}

// PlayView is the page of a public server.
type PlayView struct {
	page.Frame
	Server server.Public
}

// Serve is a web.HandlerFunc. Its answer is the same for everybody.
func (p PlayPage) Serve(w http.ResponseWriter, r *web.Request) error {
	id, err := r.ID("id")
	if err != nil {
		return err
	}
	shown, err := p.Servers.Public(r.Context(), id)
	if err != nil {
		return err
	}
	return web.Render(w, r, http.StatusOK, PlayView{Frame: r.SharedFrame(w, route.Play), Server: shown}, Play)
}

func (v PlayView) titled() page.Frame {
	v.Frame.Title = v.Server.Name
	v.Frame.Preview.Description = "Left 4 Dead 2 server: " + v.now()
	if v.answers() {
		l := v.Server.Live
		v.Frame.Preview.Description = fmt.Sprintf("Left 4 Dead 2 server: %s of %s play %s", page.Number(l.Humans), page.Count(l.Slots, "player"), l.Map)
	}
	for _, i := range v.Server.Items {
		if src := page.Picture(i.Picture); src != "" {
			v.Frame.Preview.Picture = src
			break
		}
	}
	return v.Frame
}

// answers is whether it is known who plays.
func (v PlayView) answers() bool { return v.Server.State == server.Running && v.Server.Live.Answering }

// now says in what state the server is, for people who know nothing of hosts and jobs.
func (v PlayView) now() string {
	switch v.Server.State {
	case server.Running:
		return "up"
	case server.Starting:
		return "starting"
	case server.Unknown:
		return "not known at the moment"
	}
	return "off"
}

// steamConnect is the link with which Steam starts the game and joins the server.
func steamConnect(s server.Public) templ.SafeURL {
	return templ.SafeURL("steam://connect/" + s.Endpoint)
}
