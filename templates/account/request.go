package account

import (
	"context"
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

// Render answers with the page. What forms show, and NewToken, are the caller's.
func (p ShowPage) Render(w http.ResponseWriter, r *web.Request, status int, v ShowView) error {
	err := r.Together(r.Context(),
		func(ctx context.Context) (err error) {
			v.Sessions, err = p.Accounts.Sessions(ctx, r.User.ID, r.SessionToken())
			return err
		},
		func(ctx context.Context) (err error) {
			v.Tokens, err = p.Accounts.Tokens(ctx, r.User.ID)
			return err
		})
	if err != nil {
		return err
	}
	v.Frame = r.Frame(w)
	return web.Render(w, r, status, v, Show)
}
