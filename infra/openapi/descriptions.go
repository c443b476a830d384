package main

import (
	"strings"

	"left4me/shared/route"
	"left4me/templates/account"
	"left4me/templates/admin"
	"left4me/templates/blueprint"
	"left4me/templates/job"
	"left4me/templates/overlay"
	"left4me/templates/server"
	"left4me/templates/webhook"
)

// description says what programs use a route for.
type description struct {
	// summary is a sentence; empty for a route that is not for programs.
	summary string
	// views are zero values of what the route answers with, besides api.Done for a form.
	views []any
	// query and fields are the parameters of a page and of a form.
	query, fields []field
}

// field is a parameter. Its values are text, as in the forms of pages.
type field struct {
	name, words        string
	required, repeated bool
}

// schema is that of the values.
func (f field) schema() object {
	if f.repeated {
		return object{"type": "array", "items": object{"type": "string"}}
	}
	return object{"type": "string"}
}

// fields reads a line for each field: its name, with an exclamation mark if it is required and … if it can be repeated, and what it is.
func fields(lines ...string) []field {
	var all []field
	for _, l := range lines {
		name, words, _ := strings.Cut(l, " ")
		name, required := strings.CutSuffix(name, "!")
		name, repeated := strings.CutSuffix(name, "…")
		all = append(all, field{name, words, required, repeated})
	}
	return all
}

// shows describes a page.
func shows(summary string, view any, query ...string) description {
	return description{summary: summary, views: []any{view}, query: fields(query...)}
}

// does describes a form.
func does(summary string, lines ...string) description {
	return description{summary: summary, fields: fields(lines...)}
}

// notForPrograms are pages with questions, and what belongs to browsers.
var notForPrograms = description{}

// place are the parameters of a list.
var place = []string{
	"q Only rows with this text.", "show Only rows in this state.", "sort The column that orders the rows, with a minus for the reverse.",
	"page The number of the page; the first is 1.",
}

const confirm = "confirm! The word yes."

// game are the fields of a server.
var game = []string{"name! The server's name.", "port! The UDP port.", "blueprint_id! The blueprint that it is started from.", "user_id Who owns it; only administrators choose."}

// descriptions has a row for each route.
var descriptions = map[string]description{
	route.Home.Name:      notForPrograms,
	route.API.Name:       notForPrograms, // it is this description
	route.Asset.Name:     notForPrograms,
	route.Health.Name:    notForPrograms, // text for monitors
	route.LoginForm.Name: notForPrograms,
	route.Login.Name:     notForPrograms,
	route.Logout.Name:    notForPrograms,

	route.OverlayList.Name:    shows("List the overlays.", overlay.ListView{}, place...),
	route.OverlayCreate.Name:  does("Create an overlay.", "name! Its name.", "type! The name of a type: workshop, or for administrators external."),
	route.OverlayShow.Name:    shows("Show an overlay with its items and its job.", overlay.ShowView{}, place...),
	route.OverlayUse.Name:     shows("Show where an overlay is on the hosts.", overlay.UseView{}),
	route.OverlayRename.Name:  does("Change the name and the settings of an overlay.", "name Its new name.", "lost What becomes of items that Steam does not offer any more."),
	route.OverlayDelete.Name:  does("Delete an overlay.", confirm),
	route.OverlayBuild.Name:   does("Build an overlay."),
	route.OverlayRefresh.Name: does("Ask Steam about the items of an overlay, and build it."),
	route.ItemAdd.Name: does("Add items, and those of collections, to an overlay.",
		"input! Links and ids, separated by white space.", "input_mode What they may be: auto, items or collections.", "restore… What a page of left4me puts back."),
	route.ItemChange.Name:  does("Change under which name an item is linked.", "link The name: that of its mutation, or empty for the item's id."),
	route.ItemRemove.Name:  does("Remove an item from an overlay."),
	route.ItemsRemove.Name: does("Remove items from an overlay.", "item…! The ids of the items (id, not steam_id)."),
	route.ItemsChange.Name: does("Disable or enable items of an overlay.", "item… The ids of the items (id, not steam_id).",
		"change! The word disable or enable, followed by a space and an id to change only that one."),
	route.ItemsCopy.Name: does("Copy items to another overlay.", "item…! The ids of the items (id, not steam_id).", "to! The id of the other overlay."),

	route.BlueprintList.Name:   shows("List the blueprints.", blueprint.ListView{}, place...),
	route.BlueprintCreate.Name: does("Create a blueprint.", "name! Its name.", "system The word yes for everybody's; only for administrators."),
	route.BlueprintShow.Name:   shows("Show a blueprint with its stack.", blueprint.ShowView{}),
	route.BlueprintSave.Name: does("Replace the settings of a blueprint.", "name! Its name.", "hostname The name that the game shows.", "mode! The game mode.",
		"map! The first map.", "slots! How many players can join.", "password What players are asked for.", "groups Ids of Steam groups.",
		"exclusive The word yes: only members of the groups start a game there.", "region! The value of sv_region.", "tags Words to search for.",
		"lobby_only The word yes: players join only from a lobby.", "consistency The word yes: other files than the server's are refused.",
		"lines Further lines of server.cfg.", "arguments Further launch arguments; only for administrators."),
	route.BlueprintAdd.Name:    does("Add an overlay on top of the stack.", "overlay_id! The overlay."),
	route.BlueprintMove.Name:   does("Move an overlay in the stack.", "to! Its new place; 1 is the top."),
	route.BlueprintRemove.Name: does("Take an overlay out of the stack."),
	route.BlueprintDelete.Name: does("Delete a blueprint.", confirm),

	route.ServerList.Name:    shows("List the servers.", server.ListView{}, place...),
	route.ServerCreate.Name:  does("Create a server.", append([]string{"host_id! The host that it runs on."}, game...)...),
	route.ServerShow.Name:    shows("Show a server with its last run.", server.ShowView{}),
	route.ServerChange.Name:  does("Change a server.", append([]string{"public The word yes: it has a page for players."}, game...)...),
	route.ServerStart.Name:   does("Start a server.", "confirm Not needed."),
	route.ServerStop.Name:    does("Stop a server.", "confirm Not needed."),
	route.ServerRestart.Name: does("Stop a server, if it is running, and start it.", "confirm Not needed."),
	route.ServerReset.Name:   does("Remove what the game of a server has written.", confirm),
	route.ServerCommand.Name: does("Have the game of a server execute a command. The job's log is the answer.", "command The command, or with as=say a text for the players.", "as say, or nothing.",
		"kick Instead of a command: the number of a player, who is removed from the game.", "map Instead of a command: the map to change to.", "mode With map: the mode to change to. Without it, the mode stays."),
	route.ServerDelete.Name: does("Delete a server.", confirm),
	route.Play.Name:         shows("Show a public server to players.", server.PlayView{}),

	route.WebhookList.Name: shows("List the webhooks: all that you may see, or those of one overlay or server.", webhook.ListView{},
		append([]string{"overlay The id of an overlay.", "server The id of a server."}, place...)...),
	route.WebhookCreate.Name: does("Add a webhook of an overlay or a server, or of the panel.", "overlay The id of an overlay.", "server The id of a server.",
		"url! What is told.", "format! Either json or discord.", "event…! What it is told.", "private The word yes: its address may be one that is not public; only for administrators."),
	route.WebhookShow.Name:   shows("Show a webhook with its last deliveries.", webhook.ShowView{}),
	route.WebhookChange.Name: does("Send a webhook a test, or delete it.", "action! Either test or delete."),

	route.JobList.Name: shows("List the jobs.", job.ListView{}, place...),
	route.JobShow.Name: shows("Show a job and its newest lines, or, with after, those that follow.", job.ShowView{},
		"after The number (seq) of the last line that is known; 0 for none.", "before Show the lines before this one.", "state Only for pages."),
	route.JobCancel.Name: does("Cancel a job."),

	route.Account.Name:        shows("Show one's sessions and tokens.", account.ShowView{}),
	route.PasswordChange.Name: notForPrograms,
	route.SessionEnd.Name:     notForPrograms,
	route.TokenChange.Name:    notForPrograms,

	route.AdminHome.Name:    shows("Count what left4me has.", admin.HomeView{}),
	route.AdminJobs.Name:    shows("List the jobs of all people.", admin.JobsView{}, place...),
	route.AdminRefresh.Name: does("Ask Steam about all items."),
	route.AdminGC.Name:      does("Remove files that nothing uses from the caches."),
	route.AdminHosts.Name:   shows("List the hosts.", admin.HostsView{}),
	route.HostAsk.Name:      notForPrograms,
	route.HostRemove.Name:   does("Remove a host that is gone for good."),
	route.HostInstall.Name:  does("Install the game's newest release on a host."),
	route.HostCheck.Name:    does("Ask Steam for the game's newest release."),
	route.AdminUsers.Name:   shows("List the people.", admin.PeopleView{}, place...),
	route.UserCreate.Name: {summary: "Create a person. Without a password, the answer has a random one.", views: []any{admin.PeopleView{}},
		fields: fields("name! Their name.", "password Their password.", "administrator The word yes for an administrator.")},
	route.UserAsk.Name: notForPrograms,
	route.UserChange.Name: {summary: "Change a person. The answer to password has their new one.", views: []any{admin.PeopleView{}},
		fields: fields("action! One of promote, demote, disable, enable and password.")},
}
