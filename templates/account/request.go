package account

import (
	"net/http"

	"left4me/shared/account"
	"left4me/shared/route"
	"left4me/templates/web"
)

// SignedIn leads somebody who has signed in to next, which SafeNext has returned, or else to the list of overlays. beside is whether
// they have signed in for a page in another tab.
func SignedIn(w http.ResponseWriter, r *web.Request, next string, beside bool) error {
	switch {
	case beside:
		return r.Redirect(w, route.Account.URL(), "You are signed in. Please go back to the other tab and go on there; this one can be closed.")
	case next == "":
		next = route.OverlayList.URL()
	}
	return r.Redirect(w, next, "")
}

// ShowPage answers with a person's page about their own account.
type ShowPage struct {
	Accounts *account.Store
}

// Render answers with the page. An error says why a password was not changed; empty for none.
func (p ShowPage) Render(w http.ResponseWriter, r *web.Request, status int, passwordError string) error {
	sessions, err := p.Accounts.Sessions(r.Context(), r.User.ID, r.SessionToken())
	if err != nil {
		return err
	}
	return web.Render(w, r, status, ShowView{Frame: r.Frame(w), Sessions: sessions, Error: passwordError}, Show)
}
