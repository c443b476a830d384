package blueprint

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"left4me/shared/account"
	"left4me/shared/blueprint"
	"left4me/shared/db"
	"left4me/shared/fn"
	"left4me/shared/problem"
	"left4me/shared/route"
	"left4me/shared/workshop"
	"left4me/templates/web"
)

// ListPage answers with the list of blueprints.
type ListPage struct {
	Blueprints *blueprint.Store
}

// NewListPage returns the page with a store on env's database.
func NewListPage(env *fn.Env) ListPage {
	return ListPage{blueprint.NewStore(env.DB, env.Now, env.Jobs)}
}

// Render answers with the list of what the person may see, and a form for a new blueprint. What was asked for (Blueprints.Query) and the
// form are the caller's.
func (p ListPage) Render(w http.ResponseWriter, r *web.Request, status int, v ListView) (err error) {
	if v.Blueprints, err = p.Blueprints.List(r.Context(), r.User, v.Blueprints.Query); err != nil {
		return err
	}
	v.Frame = r.ListFrame(w, v.list())
	return web.Render(w, r, status, v, List)
}

// Changing returns the Handler of a form about the blueprint {id}: answer gets the blueprint, if the person may change it.
func Changing(blueprints *blueprint.Store, answer func(http.ResponseWriter, *web.Request, blueprint.Blueprint) error) web.Handler {
	return web.About(web.ByID(blueprints.Get), blueprint.Blueprint.Editable, answer)
}

// ShowPage answers with the page of one blueprint.
type ShowPage struct {
	Blueprints *blueprint.Store
	db         *db.DB
}

// NewShowPage returns the page with a store on env's database.
func NewShowPage(env *fn.Env) ShowPage {
	return ShowPage{blueprint.NewStore(env.DB, env.Now, env.Jobs), env.DB}
}

// Find reads, for web.About, the blueprint {id} with its stack.
func (p ShowPage) Find(ctx context.Context, r *web.Request) (v ShowView, err error) {
	id, err := r.ID("id")
	if err != nil {
		return v, err
	}
	err = r.Together(ctx,
		func(ctx context.Context) (err error) {
			v.Blueprint, err = p.Blueprints.Get(ctx, id)
			return err
		},
		func(ctx context.Context) (err error) {
			v.Stack, err = p.Blueprints.Stack(ctx, id)
			return err
		})
	v.Form = v.Blueprint
	return v, err
}

// Visible returns nil if u may see the blueprint, else a problem (403).
func (v ShowView) Visible(u account.User) error { return v.Blueprint.Visible(u) }

// Serve answers with the page of the v that Find has read.
func (p ShowPage) Serve(w http.ResponseWriter, r *web.Request, v ShowView) error {
	return p.render(w, r, http.StatusOK, v)
}

// Refuse answers a form about b with its page. The fields of v that say what was refused are the caller's.
func (p ShowPage) Refuse(w http.ResponseWriter, r *web.Request, status int, b blueprint.Blueprint, v ShowView) error {
	v.Blueprint = b
	if v.SettingsError == "" {
		v.Form = b
	}
	var err error
	if v.Stack, err = p.Blueprints.Stack(r.Context(), b.ID); err != nil {
		return err
	}
	return p.render(w, r, status, v)
}

// render answers with the page of v, in which the blueprint and its stack have been read.
func (p ShowPage) render(w http.ResponseWriter, r *web.Request, status int, v ShowView) error {
	ids := make([]int64, len(v.Stack))
	for n, l := range v.Stack {
		ids[n] = l.OverlayID
	}
	if err := r.Together(r.Context(),
		func(ctx context.Context) (err error) {
			v.Choices, err = p.Blueprints.Choices(ctx, r.User, v.Blueprint.ID)
			return err
		},
		func(ctx context.Context) (err error) {
			v.Campaigns, err = workshop.Campaigns(ctx, p.db, ids)
			return err
		},
		func(ctx context.Context) (err error) {
			v.Conflicts, err = workshop.ConflictsBetween(ctx, p.db, ids)
			return err
		}); err != nil {
		return err
	}
	v.Frame = r.Frame(w)
	v.Settings = v.shown()
	return web.Render(w, r, status, v, Show)
}

// Stacked answers a form that changed the stack of b, or was refused with the problem err. It leads back to the overlay with that id, or to
// the stack.
func (p ShowPage) Stacked(w http.ResponseWriter, r *web.Request, b blueprint.Blueprint, overlayID int64, err error) error {
	if refusal, ok := r.Problem(w, err); ok {
		return p.Refuse(w, r, refusal.Status, b, ShowView{StackError: refusal.Sentence})
	}
	if err != nil {
		return err
	}
	at := StackID
	if overlayID != 0 {
		at = LayerID(overlayID)
	}
	return r.Redirect(w, route.BlueprintShow.URL(b.ID)+"#"+at, "")
}

// Fields of route.BlueprintSave.
const (
	nameField        = "name"
	hostnameField    = "hostname"
	modeField        = "mode"
	mapField         = "map"
	slotsField       = "slots"
	passwordField    = "password"
	groupsField      = "groups"
	exclusiveField   = "exclusive"
	regionField      = "region"
	tagsField        = "tags"
	lobbyField       = "lobby_only"
	consistencyField = "consistency"
	linesField       = "lines"
	argumentsField   = "arguments"
)

// Typed returns b with the name and the settings in a form, as they were typed. Launch arguments are b's unless the form has them. The
// error is a problem (400): something is not a number.
func Typed(r *web.Request, b blueprint.Blueprint) (blueprint.Blueprint, error) {
	get := func(field string) string { return strings.TrimSpace(r.PostForm.Get(field)) }
	yes := func(field string) bool { return r.PostForm.Get(field) != "" }
	words := func(field string) []string {
		return strings.FieldsFunc(get(field), func(c rune) bool { return c == ' ' || c == ',' || c == ';' || c == '\n' || c == '\r' || c == '\t' })
	}
	var err error
	number := func(field, what string) int {
		n, numberErr := strconv.Atoi(get(field))
		if numberErr != nil && err == nil {
			err = problem.Invalid("“%s” is not a number. Please enter the %s as digits.", get(field), what)
		}
		return n
	}
	b.Name = r.PostForm.Get(nameField)
	b.Settings = blueprint.Settings{
		Hostname:    get(hostnameField),
		Mode:        get(modeField),
		Map:         get(mapField),
		Slots:       number(slotsField, "player slots"),
		Password:    get(passwordField),
		Groups:      words(groupsField),
		Exclusive:   yes(exclusiveField),
		Region:      number(regionField, "region"),
		Tags:        words(tagsField),
		LobbyOnly:   yes(lobbyField),
		Consistency: yes(consistencyField),
		Arguments:   b.Settings.Arguments,
	}
	if r.PostForm.Has(argumentsField) {
		b.Settings.Arguments = strings.Fields(get(argumentsField))
	}
	if text := strings.TrimRight(strings.ReplaceAll(r.PostForm.Get(linesField), "\r\n", "\n"), " \t\n"); text != "" {
		b.Settings.Lines = strings.Split(text, "\n")
	}
	return b, err
}
