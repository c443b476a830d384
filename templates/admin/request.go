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

// Render answers with the page. What was asked for (People.Query) and the fields of v apart from Frame are the caller's.
func (p PeoplePage) Render(w http.ResponseWriter, r *web.Request, status int, v PeopleView) (err error) {
	if v.People, err = p.Accounts.People(r.Context(), v.People.Query); err != nil {
		return err
	}
	v.Frame = r.ListFrame(w, v.list())
	return r.Render(w, status, People(v))
}

// Render answers with the page. Frame is the only field that is not the caller's.
func (v JobsView) Render(w http.ResponseWriter, r *web.Request) error {
	v.Frame = r.ListFrame(w, v.list())
	return r.Render(w, http.StatusOK, Jobs(v))
}
