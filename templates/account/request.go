package account

import (
	"net/http"

	"left4me/shared/account"
	"left4me/templates/web"
)

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
	return r.Render(w, status, Show(ShowView{Frame: r.Frame(w), Sessions: sessions, Error: passwordError}))
}
