package admin

import (
	"net/http"

	"left4me/shared/account"
	"left4me/templates/web"
)

// PeoplePage answers with the page of all people.
type PeoplePage struct {
	Accounts *account.Store
}

// Render answers with the page. The fields of v apart from Frame and People are the caller's.
func (p PeoplePage) Render(w http.ResponseWriter, r *web.Request, status int, v PeopleView) (err error) {
	if v.People, err = p.Accounts.People(r.Context()); err != nil {
		return err
	}
	v.Frame = r.Frame(w)
	return r.Render(w, status, People(v))
}
