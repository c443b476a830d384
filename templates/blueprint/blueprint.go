// Package blueprint owns the views of blueprints: the list with the form for a new one, and the page of one with its stack and settings.
package blueprint

import (
	"strconv"
	"strings"

	"left4me/shared/blueprint"
	"left4me/shared/list"
	"left4me/shared/overlay"
	"left4me/shared/route"
	"left4me/shared/workshop"
	"left4me/templates/page"
)

// CreateForm is the form for a new blueprint.
type CreateForm struct {
	// Name and System are what the person sent before.
	Name   string
	System bool
	// Error says why it was refused; empty the first time.
	Error string
}

// ListView is the list of blueprints.
type ListView struct {
	page.Frame
	Blueprints list.Page[blueprint.Listed]
	Create     CreateForm `api:"-"`
}

func (v ListView) titled() page.Frame {
	v.Title, v.Section = "Blueprints", page.Blueprints
	return v.Frame
}

func (v ListView) list() page.List {
	return page.List{Place: v.Blueprints.Place, Path: route.BlueprintList.URL(), ID: "blueprints", One: "blueprint", Many: "blueprints"}
}

// ShowView is the page of one blueprint.
type ShowView struct {
	page.Frame
	Blueprint blueprint.Blueprint
	// Settings are the blueprint's, for people who may not change them without what is secret.
	Settings blueprint.Settings
	// Stack are its overlays, from the top, and Choices those that can be added.
	Stack   []blueprint.Layer
	Choices []overlay.Choice
	// Conflicts are between two overlays of the stack each.
	Conflicts []workshop.Comparison
	// Campaigns are those in the stack.
	Campaigns []workshop.Campaign
	// Form has the name and the settings in the form: those of Blueprint, or what was refused because of SettingsError.
	Form          blueprint.Blueprint `api:"-"`
	SettingsError string              `api:"-"`
	// StackError and DeleteError say why another form was refused.
	StackError, DeleteError string `api:"-"`
}

func (v ShowView) titled() page.Frame {
	v.Title, v.Section = v.Blueprint.Name, page.Blueprints
	return v.Frame
}

// Editable reports whether the person may change the blueprint.
func (v ShowView) Editable() bool { return v.Blueprint.Editable(v.User) == nil }

// shown are the settings, for people who may not change them without the password, and without the lines that may have others.
func (v ShowView) shown() blueprint.Settings {
	s := v.Blueprint.Settings
	if v.Editable() {
		return s
	}
	if s.Password != "" {
		s.Password = "(hidden)"
	}
	if len(s.Lines) > 0 {
		s.Lines = []string{"// (more lines, hidden)"}
	}
	return s
}

// exampleServer and examplePort are what the preview of a server's configuration uses.
const (
	exampleServer = "(the server's name)"
	examplePort   = 27015
)

func (v ShowView) config() string { return string(v.shown().ServerConfig(exampleServer)) }

func (v ShowView) command() string {
	return "./srcds_run " + strings.Join(v.shown().LaunchArguments(examplePort), " ")
}

// firstMaps are the maps that the form offers: the first ones of the campaigns in the stack, and of the game's own.
func (v ShowView) firstMaps() []blueprint.Map {
	var all []blueprint.Map
	known := map[string]bool{}
	for _, c := range v.Campaigns {
		for _, mode := range c.Modes {
			if name := mode.Maps[0].Name; !known[name] {
				known[name] = true
				all = append(all, blueprint.Map{Name: name, Campaign: c.Title})
			}
		}
	}
	return append(all[:min(len(all), shownCampaigns)], blueprint.FirstMaps...)
}

// shownCampaigns is how many campaigns the page names.
const shownCampaigns = 200

// LayerID is the id of the element of an overlay in the stack.
func LayerID(overlayID int64) string { return "layer-" + strconv.FormatInt(overlayID, 10) }

// StackID is the id of the section with the stack.
const StackID = "stack"

func joined(words []string) string { return strings.Join(words, ", ") }

// layer is the name of an overlay in the stack.
func (v ShowView) layer(overlayID int64) string {
	for _, l := range v.Stack {
		if l.OverlayID == overlayID {
			return l.Name
		}
	}
	return ""
}
