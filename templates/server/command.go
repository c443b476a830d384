package server

import (
	"net/http"
	"slices"

	"left4me/shared/blueprint"
	"left4me/shared/jobstore"
	"left4me/shared/route"
	"left4me/shared/server"
	"left4me/shared/vpk"
	"left4me/templates/web"
)

// Command is the answer of the forms about a game that runs. Each has a field of its own.
func (p ShowPage) Command(w http.ResponseWriter, r *web.Request, s server.Server) error {
	command, err := commandOf(r)
	var e *jobstore.Enqueued
	if err == nil {
		e, err = p.Servers.Command(r.Context(), r.User, s, command)
	}
	if why, ok := r.Problem(w, err); ok && why.Status != http.StatusNotFound {
		refused := ShowView{Command: r.PostForm.Get("command"), CommandError: why.Sentence}
		if r.PostForm.Get("as") == "say" {
			refused.Command, refused.Say = "", refused.Command
		}
		return p.Refuse(w, r, why.Status, s.ID, refused)
	}
	if err != nil {
		return err
	}
	return r.Redirect(w, route.JobShow.URL(e.ID), "")
}

// commandOf returns the command that a form asks for. The error is a problem (400).
func commandOf(r *web.Request) (string, error) {
	get := r.PostForm.Get
	switch {
	case get("as") == "say":
		return server.Say(get("command"))
	case r.PostForm.Has("kick"):
		return server.Kick(get("kick"))
	case r.PostForm.Has("map"):
		return server.ChangeMap(get("map"), get("mode"))
	}
	return get("command"), nil
}

// campaign is one whose maps the form offers.
type campaign struct {
	title string
	maps  []vpk.Map
}

// shownCampaigns is how many campaigns of items the form offers.
const shownCampaigns = 200

// campaigns are those in the items of the run, with all their maps, and the first maps of the game's own.
func (v ShowView) campaigns() (all []campaign) {
	for _, c := range v.Campaigns[:min(len(v.Campaigns), shownCampaigns)] {
		one := campaign{title: c.Title}
		for _, mode := range c.Modes {
			for _, m := range mode.Maps {
				if !slices.ContainsFunc(one.maps, func(k vpk.Map) bool { return k.Name == m.Name }) {
					one.maps = append(one.maps, m)
				}
			}
		}
		all = append(all, one)
	}
	own := campaign{title: "Left 4 Dead 2"}
	for _, m := range blueprint.FirstMaps {
		own.maps = append(own.maps, vpk.Map{Name: m.Name, Title: m.Campaign})
	}
	return append(all, own)
}

// modes are the game's own and those of the campaigns.
func (v ShowView) modes() []string {
	all := slices.Clone(blueprint.Modes)
	for _, c := range v.Campaigns {
		for _, m := range c.Modes {
			if !slices.Contains(all, m.Name) {
				all = append(all, m.Name)
			}
		}
	}
	return all
}

func mapTitle(m vpk.Map) string {
	if m.Title == "" {
		return m.Name
	}
	return m.Title + " (" + m.Name + ")"
}
